# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from sim.conftest import SingleScene

from lerf_ros.core.geometry import look_at
from lerf_ros.sim.camera import FREE_CAMERA, Intrinsics, RenderedFrame, SceneRenderer, camera_pose
from lerf_ros.sim.scene import Scene, build
from lerf_ros.sim.spec import sample_spec


def test_focal_length_of_a_right_angle_is_half_the_height() -> None:
    k = Intrinsics.from_fovy(90.0, 640, 480)
    assert k.f_px == pytest.approx(240.0)
    assert (k.cx_px, k.cy_px) == (319.5, 239.5)


def test_look_at_points_the_optical_axis_at_the_target_with_the_image_upright() -> None:
    pose = look_at(np.array([1.0, 0.0, 1.0]), np.array([0.0, 0.0, 0.0]))
    np.testing.assert_allclose(pose[:3, 2], np.array([-1, 0, -1]) / math.sqrt(2), atol=1e-12)
    np.testing.assert_allclose(pose[:3, 0], [0, 1, 0], atol=1e-12)  # seen from +x, right is +y
    assert pose[2, 1] < 0  # image down is world down
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
    rolled = look_at(np.array([1.0, 0.0, 1.0]), np.zeros(3), math.pi / 2)
    np.testing.assert_allclose(rolled[:3, 0], pose[:3, 1], atol=1e-12)


def test_a_ball_appears_where_it_projects_to_and_as_far_as_it_is(single: SingleScene) -> None:
    scene = single("ball", (0.45, 0.05))
    centre = np.array(scene.data.body("thing").xpos)
    radius = float(scene.model.geom("thing/0").size[0])
    centre[2] = scene.data.geom("thing/0").xpos[2]
    eye = np.array([0.2, -0.3, 0.5])
    pose = look_at(eye, np.array([0.42, 0.0, 0.0]))
    with SceneRenderer(scene) as renderer:
        frame = renderer.render_from(pose, depth=True, segmentation=True)
    assert frame.depth_m is not None
    assert frame.geom_id is not None
    np.testing.assert_allclose(frame.T_world_cam, pose, atol=1e-9)
    local = pose[:3, :3].T @ (centre - eye)
    k = frame.intrinsics
    u, v = local[0] / local[2] * k.f_px + k.cx_px, local[1] / local[2] * k.f_px + k.cy_px
    rows, columns = np.nonzero(scene.geom_object[frame.geom_id] == 0)
    assert columns.mean() == pytest.approx(u, abs=1.0)
    assert rows.mean() == pytest.approx(v, abs=1.0)
    # nearest point of the ball along the ray through its centre, as z-depth
    front = (np.linalg.norm(local) - radius) * local[2] / np.linalg.norm(local)
    assert frame.depth_m[round(v), round(u)] == pytest.approx(front, abs=0.001)


def reprojection_agreement(scene: Scene, one: RenderedFrame, two: RenderedFrame) -> float:
    """Share of pixels seen by both views that belong to the same geom in both."""
    assert one.depth_m is not None
    assert one.geom_id is not None
    assert two.depth_m is not None
    assert two.geom_id is not None
    k = one.intrinsics
    v, u = (a.ravel() for a in np.mgrid[4 : k.height : 5, 4 : k.width : 5])
    z = one.depth_m[v, u].astype(float)
    local = np.stack([(u - k.cx_px) / k.f_px * z, (v - k.cy_px) / k.f_px * z, z], 1)
    world = local @ one.T_world_cam[:3, :3].T + one.T_world_cam[:3, 3]
    other = (world - two.T_world_cam[:3, 3]) @ two.T_world_cam[:3, :3]
    u2, v2 = (np.round(other[:, i] / other[:, 2] * k.f_px + c) for i, c in ((0, k.cx_px), (1, k.cy_px)))
    inside = (other[:, 2] > 0) & (u2 >= 0) & (u2 < k.width) & (v2 >= 0) & (v2 < k.height) & (z < 3)
    rows, columns = v2[inside].astype(int), u2[inside].astype(int)
    same = np.abs(two.depth_m[rows, columns] - other[inside, 2]) < 0.004
    here, there = one.geom_id[v, u][inside][same], two.geom_id[rows, columns][same]
    assert same.sum() > 2000
    return float((here == there).mean())


def test_depth_pose_and_intrinsics_agree_from_view_to_view() -> None:
    scene = build(sample_spec(4, n_objects=8))
    target = np.array([0.42, 0.0, 0.03])
    eyes = (np.array([0.1, -0.3, 0.45]), np.array([0.5, -0.45, 0.4]), np.array([0.3, 0.2, 0.6]))
    with SceneRenderer(scene) as renderer:
        frames = [
            renderer.render_from(look_at(eye, target, 0.1), fovy_deg=55.0, depth=True, segmentation=True)
            for eye in eyes
        ]
    for one, two in ((0, 1), (1, 2), (2, 0)):
        assert reprojection_agreement(scene, frames[one], frames[two]) > 0.99


def test_the_same_scene_renders_to_the_same_pixels() -> None:
    spec = sample_spec(7, n_objects=5)
    images = []
    for _ in range(2):
        with SceneRenderer(build(spec), 320, 240) as renderer:
            images.append(renderer.render("wrist").rgb)
    np.testing.assert_array_equal(images[0], images[1])
    assert images[0].std() > 10  # and is not blank


def test_the_free_camera_stays_where_the_frame_says(bare: Scene) -> None:
    pose = look_at(np.array([0.1, 0.2, 0.6]), np.array([0.4, 0.0, 0.0]), 0.3)
    with SceneRenderer(bare, 64, 48) as renderer:
        renderer.render_from(pose)
        np.testing.assert_allclose(camera_pose(bare, FREE_CAMERA), pose, atol=1e-9)
