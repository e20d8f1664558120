# SPDX-License-Identifier: Apache-2.0
"""From relevancy to probability: a logistic fitted on answers of real maps of validation scenes.

The threshold between present and absent moves with the encoder and with the field, so it is measured on fields trained
as the node trains them, on scenes that neither training nor any reported score has seen.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import open_clip  # noqa: F401  (before mujoco: the other order crashes under osmesa)
import yaml
from jaxtyping import Bool, Float64

from lerf_ros.config import Config, from_dict
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.query import QueryRequest, answer
from lerf_ros.demo.questions import questions
from lerf_ros.demo.scenes import demo_scene
from lerf_ros.ros.transport import share_file
from lerf_ros.sim.camera import SceneRenderer
from lerf_ros.sim.scan import VIEWPOINTS
from lerf_ros.sim.scene import Scene, build

log = logging.getLogger(__name__)
VALIDATION_SEEDS: Final = tuple(range(80_000, 80_009))
STEPS: Final = 900
PERIOD_NS: Final = 1_000_000_000
CALIBRATION_FILE: Final = "calibration.json"


@dataclass(frozen=True)
class Scores:
    """Relevancy of phrases, and whether what they name is there."""

    relevancy: Float64[np.ndarray, " P"]
    present: Bool[np.ndarray, " P"]


def node_config() -> Config:
    """Return the configuration that the demonstration's node runs with."""
    tree = yaml.safe_load(share_file("config", "sim_arm.yaml").read_text(encoding="utf-8"))
    return from_dict(tree["lerf"]["ros__parameters"])


def map_scene(scene: Scene, encoder: ImageTextEncoder, config: Config, steps: int) -> LerfMapper:
    """Return a map of the scene from the scripted scan's viewpoints, trained as the node trains."""
    mapper = LerfMapper(config, encoder)
    with SceneRenderer(scene) as renderer:
        for k, view in enumerate(VIEWPOINTS):
            frame = renderer.render_from(view.pose(), depth=True)
            inner = frame.intrinsics
            intrinsics = Intrinsics(inner.width, inner.height, inner.f_px, inner.f_px, inner.cx_px, inner.cy_px)
            assert frame.depth_m is not None
            depth = np.where(frame.depth_m < config.input.depth_max_m, frame.depth_m, 0).astype(np.float32)
            keyframe = mapper.prepare(
                PosedImage((k + 1) * PERIOD_NS, frame.rgb.copy(), depth, intrinsics, frame.T_world_cam)
            )
            if keyframe is not None:
                mapper.add(keyframe)
    for _ in range(steps):
        mapper.step()
    return mapper


def scores(encoder: ImageTextEncoder, seeds: tuple[int, ...] = VALIDATION_SEEDS, steps: int = STEPS) -> Scores:
    """Map every scene and ask it what the demonstration asks."""
    config = node_config()
    relevancy: list[float] = []
    present: list[bool] = []
    for seed in seeds:
        scene = build(demo_scene(seed))
        mapper = map_scene(scene, encoder, config, steps)
        asked = questions(scene.spec)
        request = QueryRequest(tuple(q.phrase for q in asked))
        for question, found in zip(asked, answer(mapper.publish(), request, encoder, config, now_ns=0), strict=True):
            relevancy.append(found.relevancy)
            present.append(bool(question.objects))
            log.info("%d %-28s %-16s %.3f %s", seed, question.phrase, question.kind, found.relevancy, found.status.name)
        mapper.close()
    return Scores(np.array(relevancy), np.array(present))


def fit(found: Scores, iterations: int = 50) -> tuple[float, float]:
    """Return midpoint and slope of the logistic of greatest likelihood, both classes weighing the same.

    Newton's method with a weak pull towards a slope of zero, which keeps it finite when the classes are separable.
    """
    x, y = found.relevancy, found.present.astype(np.float64)
    weight = np.where(found.present, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    design = np.stack([x - 0.5, np.ones_like(x)], axis=1)
    beta = np.zeros(2)
    for _ in range(iterations):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (weight * (y - p)) - 1e-5 * beta
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + 1e-5 * np.eye(2)
        beta = beta + np.linalg.solve(hessian, gradient)
    return float(0.5 - beta[1] / beta[0]), float(beta[0])


def write(folder: Path, found: Scores) -> dict[str, float | str]:
    """Fit, and write the calibration beside the weights."""
    midpoint, slope = fit(found)
    there = found.present
    right = (found.relevancy >= midpoint) == there
    seeds = f"{VALIDATION_SEEDS[0]}-{VALIDATION_SEEDS[-1]}"
    measured_on = (
        f"fields of {STEPS} steps of {len(VALIDATION_SEEDS)} validation scenes (demo seeds {seeds}): right side for "
        f"{right[there].mean():.3f} of {there.sum()} present and {right[~there].mean():.3f} of {(~there).sum()} absent"
    )
    document: dict[str, float | str] = {
        "midpoint": round(midpoint, 4),
        "slope": round(slope, 3),
        "measured_on": measured_on,
    }
    (folder / CALIBRATION_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return document
