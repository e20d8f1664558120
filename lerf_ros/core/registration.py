# SPDX-License-Identifier: Apache-2.0
"""Depth from where another camera stands: each measured pixel is a small square in space, drawn with a z-buffer."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Float64
from numba import njit

from lerf_ros.core.geometry import Intrinsics

SAME_SURFACE = 0.03
"""Neighbouring pixels whose depths differ by less than this share share their corners, so that a slanted surface has no
cracks; at a larger step each pixel keeps its own depth up to its edge."""

MAX_FOOTPRINT_PX = 64
"""A depth pixel that covers more of the colour image than this (on a side) is right before its lens: left out."""

NEAREST_M = 0.01


def register_depth(
    depth_m: Float32[np.ndarray, "Hd Wd"],
    depth_camera: Intrinsics,
    T_color_depth: Float64[np.ndarray, "4 4"],
    color_camera: Intrinsics,
) -> Float32[np.ndarray, "H W"]:
    """Return z-depth (m) as the colour camera would measure it; 0 where the depth camera saw nothing.

    Where several surfaces meet in one pixel the nearest wins. Sizes and focal lengths may differ.

    Args:
        depth_m: z-depth of the depth camera, undistorted, 0 where not measured.
        depth_camera: its intrinsics.
        T_color_depth: depth camera to colour camera (optical frames).
        color_camera: intrinsics of the undistorted colour image.
    """
    out = np.full((color_camera.height, color_camera.width), np.inf, np.float32)
    d, c = depth_camera, color_camera
    _draw(
        np.ascontiguousarray(depth_m, np.float32),
        np.array([d.fx, d.fy, d.cx, d.cy]),
        np.ascontiguousarray(T_color_depth[:3], np.float64),
        np.array([c.fx, c.fy, c.cx, c.cy]),
        out,
    )
    out[np.isinf(out)] = 0
    return out


@njit(nogil=True, cache=True)
@no_type_check
def _corner(depth: np.ndarray, row: int, column: int) -> float:
    """Return the depth that the four pixels around a corner (upper left of pixel row, column) share; 0: they do not."""
    if row <= 0 or column <= 0 or row >= depth.shape[0] or column >= depth.shape[1]:
        return 0.0
    a, b, c, d = depth[row - 1, column - 1], depth[row - 1, column], depth[row, column - 1], depth[row, column]
    low = min(a, b, c, d)
    high = max(a, b, c, d)
    if low <= 0.0 or high - low > SAME_SURFACE * low:
        return 0.0
    return 0.25 * (a + b + c + d)


@njit(nogil=True, cache=True)
@no_type_check
def _draw(depth: np.ndarray, lens: np.ndarray, T: np.ndarray, to: np.ndarray, out: np.ndarray) -> None:
    """Write the least depth of all footprints that cover a pixel's centre; `lens`, `to`: fx, fy, cx, cy."""
    rows, columns = depth.shape
    shared = np.zeros((2, columns + 1))  # corner depths above and below the row
    for row in range(rows):
        for column in range(columns + 1):
            shared[0, column] = shared[1, column] if row else 0.0
            shared[1, column] = _corner(depth, row + 1, column)
        for column in range(columns):
            own = np.float64(depth[row, column])
            if own <= 0.0:
                continue
            x, y = (column - lens[2]) / lens[0] * own, (row - lens[3]) / lens[1] * own
            z = T[2, 0] * x + T[2, 1] * y + T[2, 2] * own + T[2, 3]
            if z < NEAREST_M:
                continue
            left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
            for k in range(4):
                down, across = k >> 1, k & 1
                at = shared[down, column + across]
                if at <= 0.0:
                    at = own
                px = (column + across - 0.5 - lens[2]) / lens[0] * at
                py = (row + down - 0.5 - lens[3]) / lens[1] * at
                pz = T[2, 0] * px + T[2, 1] * py + T[2, 2] * at + T[2, 3]
                pz = max(pz, NEAREST_M)
                u = (T[0, 0] * px + T[0, 1] * py + T[0, 2] * at + T[0, 3]) / pz * to[0] + to[2]
                v = (T[1, 0] * px + T[1, 1] * py + T[1, 2] * at + T[1, 3]) / pz * to[1] + to[3]
                left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
            if right - left > MAX_FOOTPRINT_PX or bottom - top > MAX_FOOTPRINT_PX:
                continue
            _fill(out, left, right, top, bottom, np.float32(z))


@njit(nogil=True, cache=True)
@no_type_check
def _fill(out: np.ndarray, left: float, right: float, top: float, bottom: float, z: float) -> None:
    """Put `z` into the pixels whose centres lie in [left, right) x [top, bottom) where it is nearer."""
    rows, columns = out.shape
    if not (right > 0.0 and bottom > 0.0 and left <= columns - 1.0 and top <= rows - 1.0):
        return
    first_u, last_u = int(np.ceil(max(left, 0.0))), int(np.ceil(min(right, float(columns))))
    first_v, last_v = int(np.ceil(max(top, 0.0))), int(np.ceil(min(bottom, float(rows))))
    for v in range(first_v, last_v):
        for u in range(first_u, last_u):
            if z < out[v, u]:
                out[v, u] = z
