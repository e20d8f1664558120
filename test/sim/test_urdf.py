# SPDX-License-Identifier: Apache-2.0
"""The arm's URDF against the model that MuJoCo compiled: the same volume of space, link by link."""

from pathlib import Path

import numpy as np
from arm_truth import body_pose, mujoco_distance

from lerf_ros.core.collision_shapes import read_shapes
from lerf_ros.core.geometry import invert, transform_points
from lerf_ros.core.robot_mask import distance_m
from lerf_ros.sim import arm_model
from lerf_ros.sim.arm import Arm
from lerf_ros.sim.scene import Scene
from lerf_ros.sim.urdf import finger_poses, robot_description


def test_the_description_fills_the_same_space_as_the_model(bare: Scene) -> None:
    robot = read_shapes(robot_description(), lambda _: Path())
    links = {shape.link for shape in robot.shapes}
    assert links == {"base_link", *arm_model.LINKS, "finger_left", "finger_right"}
    rng = np.random.default_rng(0)
    for link in links:
        body = "arm_base" if link == "base_link" else link
        T = body_pose(bare, body)
        points = transform_points(T, rng.uniform(-0.15, 0.2, (25, 3)))
        mine = [min(distance_m(s.hull, T @ s.T_link_shape, p) for s in robot.shapes if s.link == link) for p in points]
        np.testing.assert_allclose(mine, mujoco_distance(bare, body, points), atol=1e-3, err_msg=link)


def test_links_hang_on_each_other_as_in_the_arm() -> None:
    parents = read_shapes(robot_description(), lambda _: Path()).parents
    assert parents["base_link"] is None
    assert parents["link1"] == "base_link"
    assert parents["link6"] == "link5"
    assert parents["finger_left"] == parents["finger_right"] == "link6"


def test_fingers_are_where_their_joints_put_them(bare: Scene) -> None:
    arm = Arm(bare)
    for joint, position in zip(arm_model.FINGERS, (0.01, 0.03), strict=True):
        bare.data.joint(joint).qpos[0] = position
    bare.forward()
    poses = finger_poses(np.array([0.01, 0.03]))
    for body, T in poses.items():
        truth = invert(body_pose(bare, "link6")) @ body_pose(bare, body)
        np.testing.assert_allclose(T, truth, atol=1e-9)
    assert len(poses) == 2
    assert arm.opening_m() == 0.04
