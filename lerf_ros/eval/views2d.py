# SPDX-License-Identifier: Apache-2.0
"""Views the map has not seen: what is visible where in them, and surface points seen from there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from lerf_ros.core.geometry import Intrinsics, invert
from lerf_ros.sim.camera import RenderedFrame
from lerf_ros.sim.scene import Scene

MIN_PIXELS: Final = 60
"""An object with fewer visible pixels (at half the rendered size) is not asked for in a view."""

NOTHING: Final = -1


@dataclass(frozen=True)
class NovelView:
    """A rendered view, and at half its size which object each pixel shows (-1: none)."""

    frame: RenderedFrame
    owner: Int64[np.ndarray, "H W"]

    @property
    def intrinsics(self) -> Intrinsics:
        """Of the image at half size: every second pixel, from the first on."""
        k, (height, width) = self.frame.intrinsics, self.owner.shape
        return Intrinsics(width, height, k.f_px / 2, k.f_px / 2, k.cx_px / 2, k.cy_px / 2)

    def boxes(self, objects: Sequence[int]) -> Float64[np.ndarray, "B 4"]:
        """Return x1 y1 x2 y2 (edges included) around the visible pixels of each of these objects that shows enough."""
        found = []
        for index in objects:
            v, u = np.nonzero(self.owner == index)
            if len(u) >= MIN_PIXELS:
                found.append([u.min(), v.min(), u.max(), v.max()])
        return np.array(found, np.float64).reshape(-1, 4)

    def mask(self, objects: Sequence[int]) -> Bool[np.ndarray, "H W"]:
        """Return the pixels of these objects."""
        return np.isin(self.owner, objects)


def novel_view(scene: Scene, frame: RenderedFrame) -> NovelView:
    """Return the truth of a frame that was rendered with segmentation."""
    ids = frame.geom_id
    assert ids is not None
    small = ids[::2, ::2]
    owner = np.where(small >= 0, scene.geom_object[small], NOTHING)
    return NovelView(frame, np.where(owner >= 0, owner, NOTHING))


def splat(
    points: Float32[np.ndarray, "N 3"],
    use: Bool[np.ndarray, " N"],
    voxel_m: float,
    intrinsics: Intrinsics,
    T_world_cam: Float64[np.ndarray, "4 4"],
) -> Int64[np.ndarray, "H W"]:
    """Return which surface point each pixel shows, -1 for none: each point is drawn as wide as its voxel."""
    rows = np.flatnonzero(use)
    T_cam_world = invert(T_world_cam)
    local = points[rows].astype(np.float64) @ T_cam_world[:3, :3].T + T_cam_world[:3, 3]
    rows, local = rows[local[:, 2] > 0.05], local[local[:, 2] > 0.05]
    u, v, z = intrinsics.project(local)
    far_first = np.argsort(-z, kind="stable")
    rows, u, v, z = rows[far_first], u[far_first], v[far_first], z[far_first]
    seen = np.full((intrinsics.height, intrinsics.width), NOTHING, np.int64)
    reach = math.ceil(0.6 * voxel_m * intrinsics.fx / max(float(np.median(z)), 1e-3)) if len(z) else 0
    steps = np.arange(-reach, reach + 1)
    x = np.round(u)[:, None, None].astype(int) + steps[None, None, :] + 0 * steps[None, :, None]
    y = np.round(v)[:, None, None].astype(int) + steps[None, :, None] + 0 * steps[None, None, :]
    inside = (x >= 0) & (x < intrinsics.width) & (y >= 0) & (y < intrinsics.height)
    index = np.broadcast_to(rows[:, None, None], x.shape)
    seen[y[inside], x[inside]] = index[inside]  # the last write wins, and the nearest is written last
    return seen


def hottest_pixel(
    seen: Int64[np.ndarray, "H W"],
    values: Float32[np.ndarray, " N"],
    points: Float32[np.ndarray, "N 3"],
    intrinsics: Intrinsics,
    T_world_cam: Float64[np.ndarray, "4 4"],
) -> Int64[np.ndarray, "1 2"] | None:
    """Return the pixel (x, y) of the hottest visible point; None when no visible point has a value above 0.

    Of the pixels that show it, the one nearest to its own: that may be hidden by another, or just outside the image.
    """
    visible = np.unique(seen[seen >= 0])
    if not len(visible) or values[visible].max() <= 0:
        return None
    best = visible[values[visible].argmax()]
    T_cam_world = invert(T_world_cam)
    u, v, _ = intrinsics.project((points[best].astype(np.float64) @ T_cam_world[:3, :3].T + T_cam_world[:3, 3])[None])
    shown = np.argwhere(seen == best)[:, ::-1]
    return shown[[np.hypot(shown[:, 0] - u[0], shown[:, 1] - v[0]).argmin()]]
