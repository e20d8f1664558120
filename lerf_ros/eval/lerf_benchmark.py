# SPDX-License-Identifier: Apache-2.0
"""LERF's own evaluation on its own dataset: map every scene from colour, ask, print our figures beside the papers'.

    run_lerf_dataset(
        folder: Path, config: Config, encoder: ImageTextEncoder, *, seconds: float = 0.0, steps: int = 0,
        scenes: Sequence[str] = (), threads: int = 1, progress: Progress = silent, make_view: MakeView = field_view,
    ) -> tuple[dict[str, Any], str]

`folder` holds scenes in LERF's layout (`data.lerf_scenes`), in LERF-OVS's (`data.lerf_ovs`), or both; what is labelled
decides which protocols run. Each scene is embedded and trained for `seconds` of wall time, or for exactly `steps` steps
(one of the two must be positive). `scenes` names some of them; none: all. `progress(scene, what, share)` is told how
far it is. Returned are the report, which can be written as JSON as it is, and the same as Markdown. A fault of the
dataset is a `DatasetError` raised before anything is trained.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from lerf_ros.config import Config, from_flat, to_flat
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.mapper import LerfMapper, query_scales
from lerf_ros.data.bounds import capture_workspace
from lerf_ros.data.labels import LabelledScene
from lerf_ros.data.layouts import scene_folders
from lerf_ros.data.lerf_ovs import read_ovs_scene
from lerf_ros.data.lerf_scenes import read_lerf_scene
from lerf_ros.errors import ConfigError, DatasetError
from lerf_ros.eval.lerf_scoring import RelevancyView, ask, score_lerf, score_ovs, summary
from lerf_ros.eval.lerf_tables import markdown

Progress = Callable[[str, str, float], None]

MakeView = Callable[[Mapping[str, np.ndarray], Config, int, int], RelevancyView]


def field_view(weights: Mapping[str, np.ndarray], config: Config, embed_dim: int, threads: int) -> RelevancyView:
    """Return a view of a trained map's fields."""
    return FieldView(weights, config, embed_dim, threads)


def silent(scene: str, what: str, share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class _Job:
    """What stays the same from scene to scene."""

    config: Config
    encoder: ImageTextEncoder
    seconds: float
    steps: int
    threads: int
    progress: Progress
    make_view: MakeView


@dataclass(frozen=True)
class _Task:
    """A capture, and its labels by protocol; the two datasets' poses differ, so a capture has one of them as a rule."""

    name: str
    lerf: LabelledScene | None
    ovs: LabelledScene | None

    @property
    def scene(self) -> LabelledScene:
        """The capture; either reader reads the same frames."""
        found = self.lerf or self.ovs
        assert found is not None
        return found


def run_lerf_dataset(
    folder: Path,
    config: Config,
    encoder: ImageTextEncoder,
    *,
    seconds: float = 0.0,
    steps: int = 0,
    scenes: Sequence[str] = (),
    threads: int = 1,
    progress: Progress = silent,
    make_view: MakeView = field_view,
) -> tuple[dict[str, Any], str]:
    """Map every scene, ask every label of every labelled view, and score by the protocols the labels are for.

    Args:
        folder: of a dataset, or of one scene.
        config: of the maps; the workspace is set around each capture, and every image becomes a keyframe.
        encoder: embeds images and phrases.
        seconds: wall time for embedding and training a scene, or
        steps: optimisation steps a scene, which repeat exactly.
        scenes: names of those wanted; none: all that are labelled.
        threads: CPU threads of training and rendering.
        progress: told a scene's name, what is done, and how much of it, in [0, 1].
        make_view: makes what renders relevancy, from weights, configuration, embedding width and threads.

    Returns:
        The report (keys `lerf` and `lerf_ovs` by protocol: `scenes.<name>`, `mean_of_scenes`, `pooled`; fractions), and
        Markdown.

    Raises:
        DatasetError: something in the folder is not as expected; said before anything is trained.
        ConfigError: neither seconds nor steps, or both.
    """
    if (seconds > 0) == (steps > 0):
        raise ConfigError("give either seconds or steps to train each scene for")
    job = _Job(config, encoder, seconds, steps, threads, progress, make_view)
    tasks = _read(folder, scenes, progress)
    training: dict[str, dict[str, Any]] = {}
    found: dict[str, dict[str, dict[str, Any]]] = {"lerf": {}, "lerf_ovs": {}}
    for task in tasks:
        view, scales_m, training[task.name] = _map(task, job)
        for protocol, labelled, score in (("lerf", task.lerf, score_lerf), ("lerf_ovs", task.ovs, score_ovs)):
            if labelled is not None:
                found[protocol][task.name] = ask(labelled, view, scales_m, encoder, score)
                progress(task.name, "asking", 1.0)
    report = {
        "dataset": folder.resolve().name, "encoder": encoder.name, "encoder_sha256": encoder.sha256,
        "seconds": seconds, "steps": steps, "threads": threads, "seed": config.train.seed,
        **{protocol: summary(each) for protocol, each in found.items()},
        "training": training, "config": to_flat(config),
    }  # fmt: skip
    return report, markdown(report)


def _read(folder: Path, names: Sequence[str], progress: Progress) -> list[_Task]:
    """Read all captures and labels, and look at every image once: faults must not show after hours of training."""
    tasks = []
    for scene in scene_folders(folder, names):
        task = _Task(scene.resolve().name, read_lerf_scene(folder, scene), read_ovs_scene(folder, scene))
        if task.lerf or task.ovs:
            tasks.append(task)
        elif names:
            raise DatasetError(f"{scene} is not labelled: {_EXPECTED}")
    if not tasks:
        raise DatasetError(f"no scene in {folder} is labelled: {_EXPECTED}")
    for task in tasks:
        frames = task.scene.frames
        for k, frame in enumerate(frames):
            frame.load(use_depth=False)
            progress(task.name, "reading", (k + 1) / len(frames))
    return tasks


_EXPECTED = (
    "expected keyframes.json and 0_rgb.json ... (LERF) in the scene's folder or in 'Localization eval dataset/<scene>' "
    "beside it, or frame_*.json (LERF-OVS) in 'label/<scene>'"
)


def _map(task: _Task, job: _Job) -> tuple[RelevancyView, Float32[np.ndarray, " S"], dict[str, Any]]:
    """Train a scene's map from colour alone, as `train` does; return its view, the scales to ask at, and the cost."""
    images = [frame.load(use_depth=False) for frame in task.scene.frames]
    config = dataclasses.replace(job.config, workspace=capture_workspace(images))
    config = from_flat({"keyframes.min_translation_m": 0.0, "keyframes.min_rotation_rad": 0.0}, config)
    if len(images) > config.keyframes.max_count:
        config = from_flat({"keyframes.max_count": len(images)}, config)
    mapper = LerfMapper(config, job.encoder)
    try:
        mapper.set_threads(job.threads)
        cost = _train(mapper, images, task.name, job)
        weights = mapper.weights()
    finally:
        mapper.close()
    views = sum(len(s.views) for s in (task.lerf, task.ovs) if s)
    view = job.make_view(weights, config, job.encoder.embed_dim, job.threads)
    return view, query_scales(config.query), {"images": len(images), "views": views, **cost}


def _train(mapper: LerfMapper, images: Sequence[PosedImage], name: str, job: _Job) -> dict[str, Any]:
    """Embed all images, then train; both count towards the seconds."""
    start = time.monotonic()
    for k, image in enumerate(images):
        keyframe = mapper.prepare(image)
        if keyframe is not None:
            mapper.add(keyframe)
        job.progress(name, "embedding images", (k + 1) / len(images))
    encoded = time.monotonic()
    while True:
        spent = time.monotonic() - start
        share = mapper.step_count / job.steps if job.steps else spent / job.seconds
        if share >= 1 and mapper.step_count:
            break
        mapper.step()
        job.progress(name, "training", min(share, 1.0))
    return {
        "steps": mapper.step_count, "encode_s": round(encoded - start, 2),
        "train_s": round(time.monotonic() - encoded, 2),
    }  # fmt: skip
