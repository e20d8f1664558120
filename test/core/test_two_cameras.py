# SPDX-License-Identifier: Apache-2.0
"""Two cameras of other sizes, focal lengths and centres in one map: each keyframe is trained with its own."""

import numpy as np
import pytest
from analytic import CAMERA, Box, Sphere, render, ring

from lerf_ros.config import from_flat
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.mapper import LerfMapper

OTHER = Intrinsics(180, 160, 190.0, 150.0, 70.0, 95.5)
SOLIDS = (Sphere((0.08, 0.05, 0.035), 0.035), Box((-0.10, -0.06, 0.03), (0.06, 0.08, 0.06), 0.3))
CONFIG = from_flat(
    {
        "workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3), "train.rays": 256,
        "train.depth_rays": 256, "surface.min_views": 2,
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> tuple[LerfMapper, list[PosedImage]]:
    mapper = LerfMapper(CONFIG, None)
    mapper.set_threads(1)
    images = []
    for k, pose in enumerate(ring(8)):
        name, camera = ("wrist", CAMERA) if k % 2 else ("scene", OTHER)
        seen = render(SOLIDS, pose, stamp_ns=k, camera=camera)
        images.append(PosedImage(k, seen.rgb, seen.depth_m, camera, pose, name))
        keyframe = mapper.prepare(images[-1])
        assert keyframe is not None
        mapper.add(keyframe)
    for _ in range(200):
        mapper.step()
    return mapper, images


@pytest.mark.parametrize("camera", [CAMERA, OTHER])
def test_what_is_rendered_for_a_camera_is_what_it_saw(
    trained: tuple[LerfMapper, list[PosedImage]], camera: Intrinsics
) -> None:
    mapper, images = trained
    image = next(i for i in images if i.intrinsics == camera)
    small = camera.scaled(camera.width // 4, camera.height // 4)
    seen = mapper.trainer.radiance.render(small, image.T_world_cam)
    truth = render(SOLIDS, image.T_world_cam, camera=small)
    assert truth.depth_m is not None
    near = (truth.depth_m > 0) & (truth.depth_m < 0.8)
    assert near.mean() > 0.3
    assert np.median(np.abs(seen.depth_m - truth.depth_m)[near]) < 0.01
    colour_error = np.abs(seen.rgb - truth.rgb / 255.0)[near].mean()
    assert colour_error < 0.06


def test_the_surface_of_both_is_one(trained: tuple[LerfMapper, list[PosedImage]]) -> None:
    """Each camera alone would leave gaps where the other looked; with the wrong lens its points would float."""
    mapper, _ = trained
    points = mapper._surface.build().points
    assert len(points) > 2000
    ball, crate = SOLIDS
    assert isinstance(crate, Box)
    off_ball = np.abs(np.linalg.norm(points - np.array(ball.centre), axis=1) - 0.035)
    c, s = np.cos(crate.yaw), np.sin(crate.yaw)
    local = (points - np.array(crate.centre)) @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]).T
    beyond = np.abs(local) - np.array(crate.size) / 2
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=1)
    off_crate = np.where(outside > 0, outside, -beyond.max(axis=1))
    off = np.minimum(np.minimum(off_ball, off_crate), np.abs(points[:, 2]))
    assert np.percentile(off, 99) < 0.004
