# SPDX-License-Identifier: Apache-2.0
"""Which rendered depth other keyframes confirm: geometric consistency (Schoenberger et al. 2016, section 4.4).

A field that is learned from colour alone explains an image also by haze in front of its camera, and where there is no
texture by anything. A surface is what cameras from different sides find at the same place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int32
from numba import njit

from lerf_ros.core.geometry import Intrinsics, invert

NEIGHBOURS = 32
"""Most keyframes that one is compared with: the ones that look at the nearest places."""

TOLERANCE = 0.02
"""Depths agree that differ by no more than this share of them."""

NEAR_MISS = 0.1
"""What a camera finds this share of the depth in front of a point contradicts it; what is nearer may just hide it."""

MIN_PARALLAX_RAD = 0.17
"""Cameras in almost one direction from a point see the same haze, too: what they find proves nothing."""

MAX_TURN_RAD = 0.8
"""Cameras from farther round a thing see its other side, which is no contradiction to this one."""


@dataclass(frozen=True, eq=False)
class DepthView:
    """A z-depth image (metres, 0 where unknown) and the camera it is of."""

    depth_m: Float32[np.ndarray, "H W"]
    intrinsics: Intrinsics
    T_world_cam: Float64[np.ndarray, "4 4"]

    @property
    def camera(self) -> Float64[np.ndarray, " 4"]:
        """fx, fy, cx, cy in pixels."""
        k = self.intrinsics
        return np.array([k.fx, k.fy, k.cx, k.cy])

    def middle(self) -> Float64[np.ndarray, " 3"]:
        """Return the place it looks at, in the world, metres: on the optical axis, at the median depth."""
        known = self.depth_m[self.depth_m > 0]
        ahead = float(np.median(known)) if len(known) else 0.0
        return np.asarray(self.T_world_cam[:3, 3] + ahead * self.T_world_cam[:3, 2])


def confirmations(views: Sequence[DepthView]) -> list[Int32[np.ndarray, "H W"]]:
    """Return for each pixel of each view how many views find its surface where it does: itself, and those that look
    from another side (`MIN_PARALLAX_RAD`). 0 where depth is unknown, and where more views contradict: they see through
    the point, or from about this side find another surface a little in front of it (`NEAR_MISS`, `MAX_TURN_RAD`).
    """
    middles = np.array([view.middle() for view in views]).reshape(-1, 3)
    out = []
    for i, view in enumerate(views):
        count = (view.depth_m > 0).astype(np.int32)
        against = np.zeros_like(count)
        nearest = np.argsort(np.linalg.norm(middles - middles[i], axis=1), kind="stable")
        for j in nearest[nearest != i][:NEIGHBOURS]:
            T_other_view = invert(views[j].T_world_cam) @ view.T_world_cam
            _compare(view.depth_m, view.camera, views[j].depth_m, views[j].camera, T_other_view, count, against)
        out.append(np.where(against > count, np.int32(0), count))
    return out


@njit(nogil=True, cache=True)
@no_type_check
def _compare(
    depth: np.ndarray, camera: np.ndarray, other: np.ndarray, other_camera: np.ndarray, pose: np.ndarray,
    count: np.ndarray, against: np.ndarray,
) -> None:  # fmt: skip
    """Count where the other image shows the pixels' points (`pose`: this camera to the other), or contradicts them."""
    height, width = other.shape
    # this camera, seen from the other one
    cx, cy, cz = pose[0, 3], pose[1, 3], pose[2, 3]
    most, least = np.cos(MIN_PARALLAX_RAD), np.cos(MAX_TURN_RAD)
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = depth[v, u]
            if z <= 0:
                continue
            x, y = (u - camera[2]) / camera[0] * z, (v - camera[3]) / camera[1] * z
            ox = pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + cx
            oy = pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + cy
            oz = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + cz
            if oz <= 1e-6:
                continue
            column = int(np.floor(ox / oz * other_camera[0] + other_camera[2] + 0.5))
            row = int(np.floor(oy / oz * other_camera[1] + other_camera[3] + 0.5))
            if column < 0 or row < 0 or column >= width or row >= height:
                continue
            towards = ox * (ox - cx) + oy * (oy - cy) + oz * (oz - cz)
            lengths = np.sqrt((ox * ox + oy * oy + oz * oz) * (x * x + y * y + z * z))
            if towards >= most * lengths:
                continue
            found = other[row, column]
            if abs(found - oz) <= TOLERANCE * oz:
                count[v, u] += 1
            elif found > oz or (found > (1 - NEAR_MISS) * oz and towards > least * lengths):
                against[v, u] += 1
