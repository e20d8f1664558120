# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics of the arm: damped least squares on a site or camera frame, with restarts."""

import math
from typing import Final

import mujoco
import numpy as np
from jaxtyping import Float64

from lerf_ros.sim import arm_model
from lerf_ros.sim.scene import HOME_JOINTS_RAD, Scene

N_JOINTS: Final = len(arm_model.JOINTS)
_DAMPING: Final = 1e-3
_MAX_STEP_RAD: Final = 0.25
_ITERATIONS: Final = 150
_POSITION_TOLERANCE_M: Final = 1e-4
_ROTATION_TOLERANCE_RAD: Final = 1e-3

Joints = Float64[np.ndarray, "6"]


def fixed_frames() -> tuple[Float64[np.ndarray, "4 4"], Float64[np.ndarray, "4 4"]]:
    """`T_link6_cam` (ROS optical) of the wrist camera and `T_link6_tcp`."""
    camera, tcp = np.eye(4), np.eye(4)
    # right = -y, down = x, forward = z of the link
    camera[:3, :3] = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    camera[:3, 3] = arm_model.CAMERA_POSITION_M
    tcp[:3, 3] = arm_model.TCP_POSITION_M
    return camera, tcp


class Kinematics:
    """Forward and inverse kinematics on a private copy of the state; never touches the running simulation."""

    def __init__(self, scene: Scene) -> None:
        self._model = scene.model
        self._data = mujoco.MjData(scene.model)
        self._columns = [int(scene.model.joint(j).dofadr[0]) for j in arm_model.JOINTS]
        self._addresses = [int(scene.model.joint(j).qposadr[0]) for j in arm_model.JOINTS]
        ranges = np.array([scene.model.joint(j).range for j in arm_model.JOINTS])
        self.low_rad, self.high_rad = ranges[:, 0], ranges[:, 1]
        self._site = int(scene.model.site(arm_model.TCP_SITE).id)
        T_link6_cam, T_link6_tcp = fixed_frames()
        self._T_cam_tcp = np.linalg.inv(T_link6_cam) @ T_link6_tcp

    def tcp(self, joints: Joints) -> Float64[np.ndarray, "4 4"]:
        """`T_world_tcp` at these joint angles."""
        self._data.qpos[self._addresses] = joints
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        pose = np.eye(4)
        pose[:3, :3] = self._data.site_xmat[self._site].reshape(3, 3)
        pose[:3, 3] = self._data.site_xpos[self._site]
        return pose

    def camera(self, joints: Joints) -> Float64[np.ndarray, "4 4"]:
        """`T_world_cam` (ROS optical) of the wrist camera at these joint angles."""
        return self.tcp(joints) @ np.linalg.inv(self._T_cam_tcp)

    def error(self, joints: Joints, T_world_tcp: Float64[np.ndarray, "4 4"]) -> tuple[float, float]:
        """Position (m) and rotation (rad) error of the tcp against a wanted pose."""
        twist = self._twist(self.tcp(joints), T_world_tcp)
        return float(np.linalg.norm(twist[:3])), float(np.linalg.norm(twist[3:]))

    @staticmethod
    def _twist(now: Float64[np.ndarray, "4 4"], goal: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "6"]:
        quaternion, rotation = np.zeros(4), np.zeros(3)
        mujoco.mju_mat2Quat(quaternion, (goal[:3, :3] @ now[:3, :3].T).ravel())
        mujoco.mju_quat2Vel(rotation, quaternion, 1.0)
        return np.concatenate([goal[:3, 3] - now[:3, 3], rotation])

    def _descend(self, goal: Float64[np.ndarray, "4 4"], start: Joints) -> Joints | None:
        joints = start.copy()
        jacobian = np.zeros((6, self._model.nv))
        for _ in range(_ITERATIONS):
            twist = self._twist(self.tcp(joints), goal)
            if (
                np.linalg.norm(twist[:3]) < _POSITION_TOLERANCE_M
                and np.linalg.norm(twist[3:]) < _ROTATION_TOLERANCE_RAD
            ):
                return joints
            mujoco.mj_jacSite(self._model, self._data, jacobian[:3], jacobian[3:], self._site)
            j = jacobian[:, self._columns]
            # Damping falls with the error, so the last steps are nearly Newton's.
            damping = _DAMPING * min(1.0, float(twist @ twist) * 10 + 1e-3)
            step = j.T @ np.linalg.solve(j @ j.T + damping * np.eye(6), twist)
            step *= min(1.0, _MAX_STEP_RAD / max(float(np.abs(step).max()), 1e-9))
            joints = np.clip(joints + step, self.low_rad, self.high_rad)
        return None

    def solve(self, T_world_tcp: Float64[np.ndarray, "4 4"], near: Joints, restarts: int = 6) -> Joints | None:
        """Joint angles that bring the tcp to a pose (0.1 mm, 1 mrad), close to `near`; None if out of reach."""
        rng = np.random.default_rng(0)
        turn = math.atan2(T_world_tcp[1, 3], T_world_tcp[0, 3])
        facing = np.array([turn, *HOME_JOINTS_RAD[1:]])
        starts = [near, facing, *(facing + rng.normal(0, 0.5, N_JOINTS) for _ in range(restarts))]
        found: list[Joints] = []
        for k, start in enumerate(starts):
            joints = self._descend(T_world_tcp, np.clip(start, self.low_rad, self.high_rad))
            if joints is not None:
                found.append(joints)
                if k == 0:
                    break
        return min(found, key=lambda q: float(np.abs(q - near).max())) if found else None

    def solve_camera(self, T_world_cam: Float64[np.ndarray, "4 4"], near: Joints) -> Joints | None:
        """Joint angles that bring the wrist camera to an optical pose."""
        return self.solve(T_world_cam @ self._T_cam_tcp, near)


def top_down(position_m: Float64[np.ndarray, "3"], yaw_rad: float) -> Float64[np.ndarray, "4 4"]:
    """`T_world_tcp` approaching straight down, the closing axis y at `yaw_rad` + 90 degrees from world x."""
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.diag([1.0, -1.0, -1.0])
    pose[:3, 3] = position_m
    return pose
