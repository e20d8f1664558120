# SPDX-License-Identifier: Apache-2.0
"""The arm's URDF against the model that MuJoCo compiled: the same volume of space, link by link."""

from pathlib import Path

import mujoco
import numpy as np

from lerf_ros.core.collision_shapes import read_shapes
from lerf_ros.core.geometry import invert, transform_points
from lerf_ros.core.robot_mask import distance_m
from lerf_ros.sim import arm_model
from lerf_ros.sim.arm import Arm
from lerf_ros.sim.scene import Scene
from lerf_ros.sim.urdf import finger_poses, robot_description


def body_pose(scene: Scene, name: str) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = np.array(scene.data.body(name).xmat).reshape(3, 3)
    T[:3, 3] = scene.data.body(name).xpos
    return T


def mujoco_distance(scene: Scene, body: str, point: np.ndarray) -> float:
    """How far a point lies outside the geoms of a body, by their own formulae."""
    model, data = scene.model, scene.data
    inside = np.inf
    for g in range(model.ngeom):
        if model.geom_bodyid[g] != model.body(body).id:
            continue
        local = data.geom_xmat[g].reshape(3, 3).T @ (point - data.geom_xpos[g])
        size = model.geom_size[g]
        match mujoco.mjtGeom(model.geom_type[g]):
            case mujoco.mjtGeom.mjGEOM_SPHERE:
                away = np.linalg.norm(local) - size[0]
            case mujoco.mjtGeom.mjGEOM_CAPSULE:
                away = np.linalg.norm(local - [0, 0, np.clip(local[2], -size[1], size[1])]) - size[0]
            case mujoco.mjtGeom.mjGEOM_CYLINDER:
                away = np.linalg.norm(np.maximum([np.hypot(*local[:2]) - size[0], abs(local[2]) - size[1]], 0))
            case mujoco.mjtGeom.mjGEOM_BOX:
                away = np.linalg.norm(np.maximum(np.abs(local) - size, 0))
            case other:
                raise AssertionError(other)
        inside = min(inside, max(float(away), 0.0))
    return inside


def test_the_description_fills_the_same_space_as_the_model(bare: Scene) -> None:
    robot = read_shapes(robot_description(), lambda _: Path())
    links = {shape.link for shape in robot.shapes}
    assert links == {"base_link", *arm_model.LINKS, "finger_left", "finger_right"}
    rng = np.random.default_rng(0)
    for link in links:
        body = "arm_base" if link == "base_link" else link
        T = body_pose(bare, body)
        for point in transform_points(T, rng.uniform(-0.15, 0.2, (25, 3))):
            mine = min(distance_m(s.hull, T @ s.T_link_shape, point) for s in robot.shapes if s.link == link)
            assert abs(mine - mujoco_distance(bare, body, point)) < 1e-3, (link, point)


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
