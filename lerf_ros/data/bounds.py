# SPDX-License-Identifier: Apache-2.0
"""The workspace of a recorded capture, which no robot has configured."""

from collections.abc import Sequence

import numpy as np

from lerf_ros.config import WorkspaceConfig
from lerf_ros.core.geometry import transform_points
from lerf_ros.core.keyframes import PosedImage

MARGIN_M = 0.1
REACH_M = 1.0  # how far from the cameras things stand when no depth says so
STRIDE_PX = 8


def capture_workspace(images: Sequence[PosedImage]) -> WorkspaceConfig:
    """Return a box around the middle nine tenths of all measured points; without depth, 1 m around the cameras."""
    clouds = [_points(image) for image in images if image.depth_m is not None]
    points = np.concatenate(clouds) if clouds else np.zeros((0, 3))
    if len(points):
        low, high = np.quantile(points, 0.05, axis=0) - MARGIN_M, np.quantile(points, 0.95, axis=0) + MARGIN_M
    else:
        centres = np.stack([image.T_world_cam[:3, 3] for image in images])
        low, high = centres.min(0) - REACH_M, centres.max(0) + REACH_M
    return WorkspaceConfig(tuple(map(float, low)), tuple(map(float, high)))


def _points(image: PosedImage) -> np.ndarray:
    """Return some of the measured points in the world."""
    assert image.depth_m is not None
    v, u = np.mgrid[0 : image.intrinsics.height : STRIDE_PX, 0 : image.intrinsics.width : STRIDE_PX]
    z = image.depth_m[v.ravel(), u.ravel()]
    rays = image.intrinsics.unproject(u.ravel().astype(np.float64), v.ravel().astype(np.float64))
    return transform_points(image.T_world_cam, (rays * z[:, None])[z > 0])
