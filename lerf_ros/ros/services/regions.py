# SPDX-License-Identifier: Apache-2.0
"""Boxes of requests, in any frame, as upright boxes in the world frame of the map."""

import numpy as np
from geometry_msgs.msg import Point
from jaxtyping import Float64

from lerf_ros.core.geometry import transform_points
from lerf_ros.core.phrases import Corner
from lerf_ros.errors import PoseError, PromptError
from lerf_ros.ros.poses.source import PoseSource


def upright_box(
    low: Point, high: Point, frame: str, world: str, transforms: PoseSource
) -> tuple[Corner, Corner]:
    """Return lower and upper corner of the upright box around the eight corners of a box in `frame` ("" = `world`).

    Raises:
        PromptError: a corner is not finite, or the lower is not below the upper.
        PoseError: the frame cannot be reached.
    """
    a, b = np.array([low.x, low.y, low.z]), np.array([high.x, high.y, high.z])
    if not (np.isfinite(a).all() and np.isfinite(b).all() and (a < b).all()):
        raise PromptError(f"region_min {a.tolist()} must be finite and below region_max {b.tolist()} in x, y and z")
    if frame and frame != world:
        try:
            T_world_region = transforms.lookup(world, frame, None)
        except PoseError as error:
            raise PoseError(error.cause, f"region_frame {frame!r} cannot be reached: {error}") from error
        corners = np.array(np.meshgrid(*np.stack([a, b], axis=1))).reshape(3, -1).T
        turned = transform_points(T_world_region, corners)
        a, b = turned.min(axis=0), turned.max(axis=0)
    return _corner(a), _corner(b)


def _corner(xyz: Float64[np.ndarray, " 3"]) -> Corner:
    return float(xyz[0]), float(xyz[1]), float(xyz[2])
