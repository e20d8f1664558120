# SPDX-License-Identifier: Apache-2.0
"""What of a set of surface points a camera would see: a small depth image of the points hides what lies behind."""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numba import njit

from lerf_ros.core.geometry import Intrinsics, invert
from lerf_ros.core.heat_image import splatted


def splat_depth(
    points: Float32[np.ndarray, "N 3"], spacing_m: float, camera: Intrinsics, T_world_cam: Float64[np.ndarray, "4 4"]
) -> Float32[np.ndarray, "H W"]:
    """Return the z-depth (m) of the nearest point over each pixel, infinite where there is none; see `splatted`."""
    depth, _ = splatted(points, np.zeros(len(points), np.float32), spacing_m, camera, T_world_cam)
    return np.where(depth > 0, depth, np.float32(np.inf))


def in_view(
    points: Float32[np.ndarray, "N 3"],
    depth: Float32[np.ndarray, "H W"],
    slack_m: float,
    camera: Intrinsics,
    T_world_cam: Float64[np.ndarray, "4 4"],
) -> Bool[np.ndarray, " N"]:
    """Return which world points lie in the image and not more than `slack_m` behind the depth seen there."""
    seen = np.zeros(len(points), np.bool_)
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    _look(np.ascontiguousarray(points), depth, slack_m, lens, invert(T_world_cam), seen)
    return seen


@njit(nogil=True, cache=True)
@no_type_check
def _look(
    points: np.ndarray, depth: np.ndarray, slack: float, lens: np.ndarray, pose: np.ndarray, seen: np.ndarray
) -> None:
    height, width = depth.shape
    for n in range(len(points)):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        z = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
        if z <= 0.01:
            continue
        x = pose[0, 0] * px + pose[0, 1] * py + pose[0, 2] * pz + pose[0, 3]
        y = pose[1, 0] * px + pose[1, 1] * py + pose[1, 2] * pz + pose[1, 3]
        i = int(np.floor(x / z * lens[0] + lens[2] + 0.5))
        j = int(np.floor(y / z * lens[1] + lens[3] + 0.5))
        if 0 <= i < width and 0 <= j < height:
            seen[n] = z <= depth[j, i] + slack
