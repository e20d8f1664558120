# SPDX-License-Identifier: Apache-2.0
"""`train`: map a recorded capture or a bag offline, and say how well it renders views it has not seen."""

import dataclasses
import hashlib
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lerf_ros.apps.terminal import fail, overrides, progress, to_json

if TYPE_CHECKING:
    from lerf_ros.config import Config
    from lerf_ros.core.keyframes import PosedImage
    from lerf_ros.core.mapper import LerfMapper
    from lerf_ros.core.snapshot import FieldSnapshot
    from lerf_ros.data.bag_topics import Wanted


def run(
    dataset: Annotated[Path, typer.Argument(help="Folder with a nerfstudio transforms.json, or that file; or a bag "
                                            "of ROS 2 (its folder, .db3 or .mcap)")],
    seconds: Annotated[float, typer.Option(min=1.0, help="Wall time for embedding the images and training")] = 120.0,
    steps: Annotated[int, typer.Option(min=0, help="Train so many steps instead of for a time: with one thread the "
                                       "same input and seed give the same map")] = 0,
    holdout: Annotated[int, typer.Option(min=0, help="Views kept out of training, evenly spread, to measure with")] = 8,
    report: Annotated[Path | None, typer.Option(help="Write the measurements to this JSON file")] = None,
    map_dir: Annotated[Path | None, typer.Option("--map", help="Save the map, with its keyframes, to this folder, for "
                                                 "`query` and for ~/load_map of a node set alike")] = None,
    depth: Annotated[bool, typer.Option("--depth/--no-depth", help="Use measured depth, where there is any")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initial weights and batches")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    image: Annotated[str, typer.Option(help="Bag: topic of images (found by type if there is one)")] = "",
    camera_info: Annotated[str, typer.Option(help="Bag: topic of their camera info")] = "",
    depth_topic: Annotated[str, typer.Option(help="Bag: topic of depth images")] = "",
    pose_topic: Annotated[str, typer.Option(help="Bag: topic of poses or odometry, instead of transforms")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a parameter: section.key=value")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object")] = False,
) -> None:
    """Train a language embedded radiance field on a capture or a bag.

    Example: python -m lerf_ros train my_capture --seconds 120 --holdout 8 --report r.json --map maps/kitchen

    Of a bag: python -m lerf_ros train my_bag --steps 2000 --threads 1 --set input.world_frame=map --map maps/kitchen
    """
    from lerf_ros.data.bag_topics import Wanted
    from lerf_ros.errors import LerfError

    try:
        _check_destinations(report, map_dir)
        changes = overrides(set_ or [])
        wanted = Wanted(image, camera_info, depth_topic, pose_topic, str(changes.get("input.pose_source", "")), depth)
        result = _train(_Plan(dataset, seconds, steps, holdout, map_dir, depth, seed, threads, wanted), changes)
        if report is not None:
            report.write_text(to_json(result, indent=1), encoding="utf-8")
    except (LerfError, OSError) as error:
        raise fail("train", str(error)) from error
    if as_json:
        sys.stdout.write(to_json(result))
    else:
        _show(result)


@dataclasses.dataclass(frozen=True)
class _Plan:
    dataset: Path
    seconds: float
    steps: int
    holdout: int
    map_dir: Path | None
    depth: bool
    seed: int
    threads: int
    wanted: "Wanted"


def _check_destinations(report: Path | None, map_dir: Path | None) -> None:
    """Find out before the training, not after it, that its results cannot be written."""
    from lerf_ros.core.mapfile import METADATA
    from lerf_ros.errors import MapFileError

    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.touch()
    if map_dir is not None and map_dir.exists() and not (map_dir / METADATA).is_file():
        raise MapFileError(f"{map_dir} exists and is no map; it is not overwritten")


def _train(plan: _Plan, changes: dict[str, object]) -> dict[str, object]:
    from lerf_ros.config import from_flat
    from lerf_ros.core.encoders import load_encoder
    from lerf_ros.core.field_view import FieldView
    from lerf_ros.core.mapfile import save_map
    from lerf_ros.core.mapper import LerfMapper
    from lerf_ros.data.bounds import capture_workspace
    from lerf_ros.data.transforms_json import held_out_indices
    from lerf_ros.eval.reconstruction import reconstruction

    images = _images(plan, from_flat(changes))
    held = held_out_indices(len(images), plan.holdout)
    train = [image for i, image in enumerate(images) if i not in held]
    config = from_flat({"train.seed": plan.seed, "keyframes.min_translation_m": 0.0, "keyframes.min_rotation_rad": 0.0})
    apart = {key: changes[key] for key in changes if not key.startswith("keyframes.min_")}
    config = from_flat(apart, dataclasses.replace(config, workspace=capture_workspace(train)))
    if len(train) > config.keyframes.max_count:
        config = from_flat({"keyframes.max_count": len(train)}, config)
    mapper = LerfMapper(config, load_encoder(config.encoder))
    sys.stderr.write(f"encoder: {mapper.encoder.name if mapper.encoder else 'none'}\n")
    times = _fit(mapper, train, plan)
    found = reconstruction(FieldView(mapper.weights(), config, threads=plan.threads), [images[i] for i in held])
    snapshot = mapper.publish()
    if plan.map_dir is not None and snapshot is not None:
        save_map(snapshot, plan.map_dir, config, mapper.training_state(config.runtime.save_keyframes))
    mapper.close()
    digest = "" if snapshot is None else map_sha256(snapshot)
    return _report(plan, mapper, config, times, {**dataclasses.asdict(found), "map_sha256": digest})


def _images(plan: _Plan, config: "Config") -> "list[PosedImage]":
    """Return the views of a capture, or those of a bag that are far enough apart."""
    from lerf_ros.data.bag import is_bag
    from lerf_ros.data.transforms_json import read_capture

    if not is_bag(plan.dataset):
        return [frame.load(plan.depth) for frame in read_capture(plan.dataset)]
    from lerf_ros.apps.recordings import read_bag

    found = read_bag(plan.dataset, plan.wanted, config, config.keyframes.max_count + plan.holdout)
    used = ", ".join(f"{stream} {topic}" for topic, stream in found.topics.streams().items())
    dropped = ", ".join(f"{count} {cause}" for cause, count in found.dropped.items()) or "none"
    sys.stderr.write(f"bag: {len(found.images)} views from {used}; dropped: {dropped}\n")
    return found.images


def map_sha256(snapshot: "FieldSnapshot") -> str:
    """Return a digest of all weights and of the surface: equal for equal maps, bit for bit."""
    digest = hashlib.sha256()
    surface = {name: getattr(snapshot.surface, name) for name in ("points", "normals", "colours", "views")}
    for name, values in sorted({**snapshot.weights, **surface}.items()):
        digest.update(name.encode() + str((values.dtype, values.shape)).encode() + values.tobytes())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class _Times:
    encode_s: float
    train_s: float


def _fit(mapper: "LerfMapper", images: "Sequence[PosedImage]", plan: _Plan) -> _Times:
    """Embed all images, then train until the time is up (both count), or the steps are done."""
    mapper.set_threads(plan.threads)
    start = time.monotonic()
    with progress() as bars:
        task = bars.add_task("embedding images", total=len(images))
        for image in images:
            keyframe = mapper.prepare(image)
            if keyframe is not None:
                mapper.add(keyframe)
            bars.advance(task)
        encoded = time.monotonic()
        task = bars.add_task("training", total=plan.steps or plan.seconds - (encoded - start))
        while True:
            now = time.monotonic()
            done = mapper.step_count if plan.steps else now - encoded
            if mapper.step_count and (done >= plan.steps if plan.steps else now >= start + plan.seconds):
                break
            step = mapper.step()
            bars.update(task, completed=done, description=f"training: {step.psnr_db:.1f} dB on its batch")
    return _Times(encoded - start, time.monotonic() - encoded)


def _report(
    plan: _Plan, mapper: "LerfMapper", config: "Config", times: _Times, found: dict[str, object]
) -> dict[str, object]:
    return {
        "dataset": str(plan.dataset),
        "seconds": plan.seconds,
        "depth": plan.depth,
        "keyframes": mapper.keyframe_count,
        "holdout": plan.holdout,
        **found,
        "steps": mapper.step_count,
        "rays_per_s": round(mapper.step_count * config.train.rays / times.train_s, 1),
        "encode_s": round(times.encode_s, 2),
        "train_s": round(times.train_s, 2),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "encoder": mapper.encoder.name if mapper.encoder else "",
        "threads": plan.threads,
        "seed": plan.seed,
        "map": str(plan.map_dir) if plan.map_dir else "",
    }


def _show(result: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measurement", "value", title=f"held-out views of {result['dataset']}")
    for key in ("psnr_db", "psnr_plain_db", "depth_abs_median_m", "rays_per_s", "steps", "keyframes", "encode_s",
                "train_s", "peak_rss_mb"):  # fmt: skip
        value = result[key]
        table.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console().print(table)
