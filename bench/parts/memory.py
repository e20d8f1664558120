# SPDX-License-Identifier: Apache-2.0
"""Resident memory of the node over 200 VGA RGB-D keyframes with the bundled encoder, each embedded, over real DDS."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from bench.context import Context
from bench.rows import Point, Row, unmeasured
from bench.scene import VGA, balls, poses, render, scene_config
from bench.targets import TARGETS
from lerf_ros.config import to_flat

KEYFRAMES: Final = 200
FROM: Final = 50
"""Growth is taken from here on: before, kernels are compiled and pools filled."""

EVERY: Final = 10
SETTLE_STEPS: Final = 150
LIMIT_S: Final = 120.0
SENT: Final = ("workspace.min_m", "workspace.max_m", "keyframes.min_translation_m", "keyframes.min_rotation_rad",
               "pyramid.levels", "pyramid.min_tile")  # fmt: skip


def run(context: Context) -> Iterator[Row]:
    """Show the node one view after another, reading its memory; then let it train and publish, and read the peak."""
    count, camera = context.size(KEYFRAMES, 6), VGA if not context.quick else VGA.scaled(160, 120)
    peak = Row("peak_rss_mb_200_keyframes", None, "MB", context.threads, target=TARGETS["peak_rss_mb_200_keyframes"])
    try:
        from bench.ros_link import FAST_STATUS, linked
    except ImportError as error:
        yield unmeasured(peak.name, "MB", context.threads, f"no ROS here: {error}")
        return
    flat = to_flat(scene_config(context.changes))
    parameters = {key: flat[key] for key in SENT} | {"runtime.threads": context.threads, **FAST_STATUS}
    found: list[tuple[int, float]] = []
    with linked(context.folder / "memory", parameters) as link:
        yield Row("node_rss_mb_empty", link.memory_mb(), "MB", context.threads, note="before the first image")
        for k, pose in enumerate(poses(count)):
            link.show_until_kept(render(pose, camera, balls(), 0))
            if (k + 1) % context.size(EVERY, 2) == 0:
                found.append((k + 1, link.memory_mb()))
        seen = int(link.status.step)
        enough = seen + context.size(SETTLE_STEPS, 1)
        link.wait(lambda: link.status.snapshot_step > enough, "a snapshot of all", LIMIT_S)
        link.ask(["red mug", "blue ball"])
        top = link.process.peak_rss_mb() * 2**20 / 1e6
        kept = int(link.status.keyframes)
    size = f"{camera.width} x {camera.height}"
    yield replace(peak, value=top, note=f"VmHWM of the node: {kept} keyframes of {size}, trained, published and asked")
    yield from _growth(context, found)


def _growth(context: Context, found: list[tuple[int, float]]) -> Iterator[Row]:
    for keyframes, megabytes in found:
        yield Row(f"node_rss_mb_{keyframes}_keyframes", megabytes, "MB", context.threads,
                  point=Point("memory", "node, resident", keyframes))  # fmt: skip
    late = [(n, mb) for n, mb in found if n >= context.size(FROM, 0)]
    yield Row("rss_mb_per_keyframe", slope(late), "MB", context.threads, n=len(late),
              target=TARGETS["rss_mb_per_keyframe"], note=f"least squares from {late[0][0]} to {late[-1][0]} keyframes",
              spread=_residual(late))  # fmt: skip


def slope(points: list[tuple[int, float]]) -> float:
    """Return the least-squares slope of y over x."""
    x, y = np.array(points, np.float64).T
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


def _residual(points: list[tuple[int, float]]) -> float:
    """Return the standard error of the slope."""
    x, y = np.array(points, np.float64).T
    rest = y - y.mean() - slope(points) * (x - x.mean())
    return float(np.sqrt((rest**2).sum() / max(len(x) - 2, 1) / ((x - x.mean()) ** 2).sum()))
