# SPDX-License-Identifier: Apache-2.0
"""Corners, edges and faces of what markers draw."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Float64, Int

from lerf_ros.core.geometry import Intrinsics, transform_points

BOX_EDGES: Final[Int[np.ndarray, "12 2"]] = np.array(
    [(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7)]
)
"""Between corners of `box_corners`."""

_BOX_FACES: Final = np.array([(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
_FRUSTUM_EDGES: Final = np.array([(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1)])


def box_corners(low: Sequence[float], high: Sequence[float]) -> Float64[np.ndarray, "8 3"]:
    """Return the corners of a box; bits 0, 1, 2 of the index choose low or high x, y, z."""
    bits = np.arange(8)[:, None] >> np.arange(3) & 1
    return np.where(bits == 1, np.array(high, float), np.array(low, float))


def box_triangles(low: Sequence[float], high: Sequence[float]) -> Float64[np.ndarray, "36 3"]:
    """Return the twelve triangles of a box."""
    halves = _BOX_FACES[:, [0, 1, 2, 0, 2, 3]].ravel()
    return np.asarray(box_corners(low, high)[halves])


def frustum_lines(
    camera: Intrinsics, T_world_cam: Float[np.ndarray, "4 4"], depth_m: float
) -> Float64[np.ndarray, "16 3"]:
    """Return the ends of eight lines: from the camera's centre to the corners of its image, and around them."""
    u = np.array([-0.5, camera.width - 0.5, camera.width - 0.5, -0.5])
    v = np.array([-0.5, -0.5, camera.height - 0.5, camera.height - 0.5])
    corners = np.concatenate([np.zeros((1, 3)), depth_m * camera.unproject(u, v)])
    return np.asarray(transform_points(T_world_cam, corners)[_FRUSTUM_EDGES.ravel()])
