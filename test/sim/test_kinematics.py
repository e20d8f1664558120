# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from lerf_ros.sim.camera import camera_pose
from lerf_ros.sim.kinematics import Kinematics, fixed_frames, top_down
from lerf_ros.sim.scan import VIEWPOINTS, scan_joints
from lerf_ros.sim.scene import HOME_JOINTS_RAD, Scene

HOME = np.array(HOME_JOINTS_RAD)


def test_stretched_out_the_tool_is_straight_above_the_base(bare: Scene) -> None:
    pose = Kinematics(bare).tcp(np.zeros(6))
    # 0.15 + 0.1 + 0.36 + 0.2 + 0.14 + 0.06 + 0.13, as the bodies are chained
    np.testing.assert_allclose(pose[:3, 3], [0, 0, 1.14], atol=1e-9)
    np.testing.assert_allclose(pose[:3, :3], np.eye(3), atol=1e-9)


def test_the_kinematic_camera_is_the_rendered_camera(bare: Scene) -> None:
    joints = np.array([0.3, -0.2, 1.5, 0.4, 1.0, -0.6])
    bare.data.qpos[:6] = joints
    bare.forward()
    np.testing.assert_allclose(Kinematics(bare).camera(joints), camera_pose(bare, "wrist"), atol=1e-9)
    T_link6_cam, T_link6_tcp = fixed_frames()
    assert np.linalg.det(T_link6_cam[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(T_link6_cam[:3, 2], T_link6_tcp[:3, 2])  # it looks along the approach direction


def test_top_down_approaches_downwards() -> None:
    pose = top_down(np.array([0.4, 0.1, 0.05]), math.pi / 2)
    np.testing.assert_allclose(pose[:3, 2], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 0], [0, 1, 0], atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)


def test_grasp_poses_all_over_the_workspace_are_reached_within_a_millimetre(bare: Scene) -> None:
    kinematics = Kinematics(bare)
    for x in (0.27, 0.42, 0.60):
        for y in (-0.27, 0.0, 0.27):
            for yaw in (-1.2, 0.0, 1.2):
                for height in (0.02, 0.16):
                    goal = top_down(np.array([x, y, height]), yaw)
                    joints = kinematics.solve(goal, HOME)
                    assert joints is not None, (x, y, yaw, height)
                    metres, radians = kinematics.error(joints, goal)
                    assert metres < 0.001
                    assert radians < 0.005


def test_scan_poses_are_reached_and_stay_off_the_joint_limits(bare: Scene) -> None:
    kinematics = Kinematics(bare)
    for view, joints in zip(VIEWPOINTS, scan_joints(kinematics), strict=True):
        pose = kinematics.camera(joints)
        assert np.linalg.norm(pose[:3, 3] - view.pose()[:3, 3]) < 0.001
        assert (joints > kinematics.low_rad + 0.05).all()
        assert (joints < kinematics.high_rad - 0.05).all()


def test_what_is_out_of_reach_is_none(bare: Scene) -> None:
    kinematics = Kinematics(bare)
    assert kinematics.solve(top_down(np.array([1.2, 0.0, 0.1]), 0.0), HOME, restarts=1) is None
