# SPDX-License-Identifier: Apache-2.0
"""The node over real DDS: callbacks at 30 Hz, from image to keyframe to snapshot, queries of another process."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from bench.context import Context
from bench.mapped import config_for, images_for
from bench.phrases import new_phrases
from bench.rows import Row, measured, percentile, unmeasured
from bench.scene import VGA, balls, poses, render
from lerf_ros.config import Config, to_flat
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage

if TYPE_CHECKING:
    from bench.ros_link import Link

POINTS, PHRASES = 100_000, 4
RATE_HZ: Final = 30.0
STREAM_S: Final = 8.0
ASK_S: Final = 12.0
ASK_EVERY_S: Final = 0.2
NEW_KEYFRAME_S: Final = 4.0
IDLE_STEPS: Final = 300
"""Training rests soon after the last keyframe, so that idle queries need not be waited for long."""

LIMIT_S: Final = 120.0
SENT: Final = ("workspace.min_m", "workspace.max_m", "keyframes.min_translation_m", "keyframes.min_rotation_rad",
               "surface.voxel_m", "surface.max_points", "runtime.threads", "pyramid.levels",
               "pyramid.min_tile")  # fmt: skip
NAMES: Final = ("ingest_callback_p95_ms", "image_to_keyframe_s", "image_to_snapshot_s",
                f"query_dds_p95_ms_training_100k_{PHRASES}", f"query_dds_p95_ms_idle_100k_{PHRASES}")  # fmt: skip


def run(context: Context) -> Iterator[Row]:
    """Show the node a table, then measure one thing after another on the map that it makes."""
    try:
        from bench.ros_link import FAST_STATUS, linked
    except ImportError as error:
        for name in NAMES:
            yield unmeasured(name, name.split("_")[-1], context.threads, f"no ROS here: {error}")
        return
    images = images_for(context.size(POINTS, 3000), 12)
    config = config_for(context.size(POINTS, 3000), images, {**context.changes, "runtime.threads": context.threads})
    flat = to_flat(config)
    changes = {key: flat[key] for key in SENT} | {"runtime.idle_steps": IDLE_STEPS, **FAST_STATUS}
    with linked(context.folder / "node", changes) as link:
        for image in images:
            link.show_until_kept(image)
        link.wait(lambda: link.status.snapshot_step >= config.query.min_steps, "a snapshot that answers", LIMIT_S)
        spare = _more_views(context, images[0].intrinsics)
        yield from _latency(context, link, spare)
        yield from _queries(context, link, "training", lambda: link.show(next(spare)))
        link.wait(lambda: _rests(link), "rest", LIMIT_S)
        yield from _queries(context, link, "idle", lambda: 0)
        yield from _stream(context, link, spare)
        report = link.callbacks_file
    yield _callbacks(context, json.loads(report.read_text(encoding="utf-8")))


def _more_views(context: Context, camera: Intrinsics) -> Iterator[PosedImage]:
    """Yield views from places not shown before."""
    solids = balls()
    for pose in poses(1000, radius_m=0.4, height_m=0.55):
        yield render(pose, camera, solids, 0)


def _latency(context: Context, link: "Link", spare: Iterator[PosedImage]) -> Iterator[Row]:
    """Show one frame at a time; read off when it is a keyframe, and when answers know it."""
    kept, mapped = [], []
    for _ in range(context.size(6, 1)):
        stamp_ns = link.show_until_kept(next(spare))
        kept.append((link.now_ns() - stamp_ns) / 1e9)
        while link.mapped_stamp_ns() < stamp_ns:
            if link.now_ns() - stamp_ns > 1e9 * LIMIT_S:
                raise TimeoutError("a keyframe never came into a snapshot")
            link.spin(0.05)
        mapped.append((link.now_ns() - stamp_ns) / 1e9)
    yield measured("image_to_keyframe_s", kept, "s", context.threads, note="published to counted in ~/status")
    period = Config().runtime.snapshot_period_s
    yield measured("image_to_snapshot_s", mapped, "s", context.threads,
                   note=f"published to answered from; snapshots every {period:g} s")  # fmt: skip


def _queries(context: Context, link: "Link", state: str, keep_busy: Callable[[], object]) -> Iterator[Row]:
    """Ask periodically; while training, a new keyframe every few seconds keeps it training."""
    phrases, times = new_phrases(7), []
    link.ask(list(islice(phrases, PHRASES)))
    begin = time.monotonic()
    shown = begin - NEW_KEYFRAME_S
    while time.monotonic() - begin < context.size(int(ASK_S), 1):
        if time.monotonic() - shown >= NEW_KEYFRAME_S:
            keep_busy()
            shown = time.monotonic()
        times.append(link.ask(list(islice(phrases, PHRASES)))[1])
        link.spin(max(begin + ASK_EVERY_S * len(times) - time.monotonic(), 0))
    for percent in (50, 95, 99):
        yield Row(f"query_dds_p{percent}_ms_{state}_100k_{PHRASES}", percentile(times, percent), "ms", context.threads,
                  n=len(times), note="request to answer in another process, clouds included")  # fmt: skip


def _rests(link: "Link") -> bool:
    """Return whether training rests, with its last step published."""
    return bool(link.status.steps_per_s == 0 and link.status.snapshot_step == link.status.step)


def _stream(context: Context, link: "Link", spare: Iterator[PosedImage]) -> Iterator[Row]:
    """Publish 30 frames a second while the node does all the rest."""
    images = list(islice(spare, context.size(20, 2)))
    received, begin, sent = int(link.status.frames_received), time.monotonic(), 0
    while time.monotonic() - begin < context.size(int(STREAM_S), 1):
        link.show(images[sent // 10 % len(images)])
        sent += 1
        link.spin(max(begin + sent / RATE_HZ - time.monotonic(), 0))
    rate = sent / (time.monotonic() - begin)
    link.spin(1.0)
    got = int(link.status.frames_received) - received
    yield Row("ingest_received_share", got / sent, "share", context.threads, n=sent, better="higher",
              note=f"of {VGA.width} x {VGA.height} RGB-D frames sent at {rate:.1f} Hz")  # fmt: skip


def _callbacks(context: Context, by_topic: dict[str, list[float]]) -> Row:
    times = [ms for topic, every in by_topic.items() if topic in ("image", "depth", "camera_info") for ms in every]
    return Row("ingest_callback_p95_ms", percentile(times, 95), "ms", context.threads, n=len(times),
               spread=measured("", times, "", 0).spread,
               note=f"image, depth and camera info; p50 {percentile(times, 50):.3f}, p99 {percentile(times, 99):.2f}, "
                    f"largest {max(times):.1f}")  # fmt: skip
