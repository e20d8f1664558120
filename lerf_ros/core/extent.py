# SPDX-License-Identifier: Apache-2.0
"""The box around a thing: upright, turned to the smallest footprint, standing on what supports it."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from lerf_ros.core.geometry import quaternion_from_matrix
from lerf_ros.core.segments import Plane


@dataclass(frozen=True)
class Extent:
    """An oriented box.

    Attributes:
        centre: metres.
        size: full sides along its own x, y, z, metres; x is the longer horizontal one.
        quaternion: its axes in the map's frame (x, y, z, w).
    """

    centre: Float64[np.ndarray, " 3"]
    size: Float64[np.ndarray, " 3"]
    quaternion: Float64[np.ndarray, " 4"]


def oriented_extent(points: Float32[np.ndarray, "N 3"], support: Plane | None) -> Extent:
    """Return the upright box of least footprint around points.

    Its bottom is the support's surface where there is one: the lowest part of a thing is seldom seen.
    """
    origin = points.mean(axis=0, dtype=np.float64)
    # millimetres, for OpenCV's rectangle works in float32
    (cx, cy), (width, depth), angle = cv2.minAreaRect(((points[:, :2] - origin[:2]) * 1e3).astype(np.float32))
    if width < depth:
        width, depth, angle = depth, width, angle + 90.0
    top = float(points[:, 2].max())
    bottom = float(points[:, 2].min())
    if support is not None:
        bottom = min(bottom, float((support.offset - support.normal[:2] @ origin[:2]) / support.normal[2]))
    yaw = math.radians((angle + 90.0) % 180.0 - 90.0)
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
    centre = np.array([origin[0] + cx * 1e-3, origin[1] + cy * 1e-3, (top + bottom) / 2])
    return Extent(centre, np.array([width * 1e-3, depth * 1e-3, top - bottom]), quaternion_from_matrix(turn))
