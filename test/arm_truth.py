# SPDX-License-Identifier: Apache-2.0
"""The simulated arm's true geometry, from the model that MuJoCo compiled."""

import mujoco
import numpy as np

from lerf_ros.sim.scene import Scene


def body_pose(scene: Scene, name: str) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = np.array(scene.data.body(name).xmat).reshape(3, 3)
    T[:3, 3] = scene.data.body(name).xpos
    return T


def mujoco_distance(scene: Scene, body: str, points: np.ndarray) -> np.ndarray:
    """How far points (N 3) lie outside the geoms of a body, by their own formulae."""
    model, data = scene.model, scene.data
    distance = np.full(len(points), np.inf)
    for g in range(model.ngeom):
        if model.geom_bodyid[g] != model.body(body).id:
            continue
        local = (points - data.geom_xpos[g]) @ data.geom_xmat[g].reshape(3, 3)
        size = model.geom_size[g]
        along = local[:, 2:]
        match mujoco.mjtGeom(model.geom_type[g]):
            case mujoco.mjtGeom.mjGEOM_SPHERE:
                away = np.linalg.norm(local, axis=1) - size[0]
            case mujoco.mjtGeom.mjGEOM_CAPSULE:
                ends = np.concatenate([local[:, :2], along - np.clip(along, -size[1], size[1])], axis=1)
                away = np.linalg.norm(ends, axis=1) - size[0]
            case mujoco.mjtGeom.mjGEOM_CYLINDER:
                beside = np.stack([np.hypot(*local[:, :2].T) - size[0], np.abs(local[:, 2]) - size[1]])
                away = np.linalg.norm(np.maximum(beside, 0), axis=0)
            case mujoco.mjtGeom.mjGEOM_BOX:
                away = np.linalg.norm(np.maximum(np.abs(local) - size, 0), axis=1)
            case other:
                raise AssertionError(other)
        distance = np.minimum(distance, np.maximum(away, 0))
    return distance
