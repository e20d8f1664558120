# SPDX-License-Identifier: Apache-2.0
"""What of a set of surface points a camera would see: a small depth image of the points hides what lies behind."""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numba import njit

from lerf_ros.core.geometry import Intrinsics

DEEP = np.float32(np.inf)
"""Depth where nothing was splatted."""


def splat_depth(
    points: Float32[np.ndarray, "N 3"], spacing_m: float, camera: Intrinsics, T_world_cam: Float64[np.ndarray, "4 4"]
) -> Float32[np.ndarray, "H W"]:
    """Return the z-depth (m) of the nearest point over each pixel, infinite where there is none.

    Args:
        points: of a surface, world frame, metres.
        spacing_m: between neighbours: each covers a square of that side, so that no light comes between them.
        camera: best a small one, whose pixels are about as wide as the spacing.
        T_world_cam: its pose.
    """
    depth = np.full((camera.height, camera.width), DEEP)
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    _splat(np.ascontiguousarray(points), spacing_m, lens, _to_camera(T_world_cam), depth)
    return depth


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
    _look(np.ascontiguousarray(points), depth, slack_m, lens, _to_camera(T_world_cam), seen)
    return seen


def _to_camera(T_world_cam: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "3 4"]:
    turn = T_world_cam[:3, :3].T
    return np.ascontiguousarray(np.concatenate([turn, -turn @ T_world_cam[:3, 3:]], axis=1))


@njit(nogil=True, cache=True)
@no_type_check
def _splat(points: np.ndarray, spacing: float, lens: np.ndarray, pose: np.ndarray, depth: np.ndarray) -> None:
    height, width = depth.shape
    for n in range(len(points)):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        z = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
        if z <= 0.01:
            continue
        x = pose[0, 0] * px + pose[0, 1] * py + pose[0, 2] * pz + pose[0, 3]
        y = pose[1, 0] * px + pose[1, 1] * py + pose[1, 2] * pz + pose[1, 3]
        u, v = x / z * lens[0] + lens[2], y / z * lens[1] + lens[3]
        du, dv = 0.5 * spacing / z * lens[0], 0.5 * spacing / z * lens[1]
        if u + du < -0.5 or u - du > width - 0.5 or v + dv < -0.5 or v - dv > height - 0.5:
            continue
        for j in range(max(0, int(np.floor(v - dv + 0.5))), min(height - 1, int(np.floor(v + dv + 0.5))) + 1):
            for i in range(max(0, int(np.floor(u - du + 0.5))), min(width - 1, int(np.floor(u + du + 0.5))) + 1):
                depth[j, i] = min(depth[j, i], z)


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
