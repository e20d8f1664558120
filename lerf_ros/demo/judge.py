# SPDX-License-Identifier: Apache-2.0
"""Compares answers with the truth of the scene, which no other part of the demonstration uses."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import mujoco
import numpy as np
from jaxtyping import Float64, UInt8

from lerf_ros.core.geometry import look_at, quaternion_from_matrix
from lerf_ros.demo.questions import Question
from lerf_ros.msg import QueryResult
from lerf_ros.sim.camera import SceneRenderer
from lerf_ros.sim.scene import Scene
from lerf_ros.sim.truth import surface_points

RIGHT_WITHIN_M = 0.02
SURFACE_POINTS = 6000
STATUS_NAMES = {
    getattr(QueryResult, name): name
    for name in ("FOUND", "NOT_FOUND", "AMBIGUOUS", "NOT_READY", "STALE", "BAD_REQUEST", "INTERNAL")
}


class Judge:
    """The scene at the poses the simulator says its objects have."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._start_z = np.array([self._z(i) for i in range(len(scene.spec.objects))])

    def place(self, poses: Mapping[str, Float64[np.ndarray, "4 4"]]) -> None:
        """Put the objects where they are now."""
        for item in self.scene.spec.objects:
            if item.name in poses:
                T = poses[item.name]
                address = int(self.scene.model.joint(self.scene.model.body(item.name).jntadr[0]).qposadr[0])
                x, y, z, w = quaternion_from_matrix(T[:3, :3])
                self.scene.data.qpos[address : address + 7] = (*T[:3, 3], w, x, y, z)
        mujoco.mj_forward(self.scene.model, self.scene.data)

    def place_arm(self, names: Sequence[str], positions: Sequence[float]) -> None:
        """Put the arm where its joint states say it is, for pictures."""
        for name, position in zip(names, positions, strict=True):
            self.scene.data.joint(name).qpos[0] = position
        mujoco.mj_forward(self.scene.model, self.scene.data)

    def error_m(self, point: Float64[np.ndarray, " 3"], objects: Sequence[int]) -> float:
        """Return the distance from a point to the surface of the nearest of the right objects, metres."""
        clouds = [surface_points(self.scene, i, SURFACE_POINTS) for i in objects]
        return float(min(np.linalg.norm(cloud - point, axis=1).min() for cloud in clouds))

    def is_right(self, question: Question, result: QueryResult) -> tuple[bool, float | None]:
        """Return whether an answer is right, and the error of its point (m) where there is one to compare with."""
        if not question.objects:
            return result.status == QueryResult.NOT_FOUND, None
        if result.status not in (QueryResult.FOUND, QueryResult.AMBIGUOUS, QueryResult.STALE):
            return False, None
        point = np.array([result.argmax.x, result.argmax.y, result.argmax.z])
        error = self.error_m(point, question.objects)
        return result.status == QueryResult.FOUND and error <= RIGHT_WITHIN_M, error

    def height_gain_m(self, index: int) -> float:
        """Return how far an object's body is above where it stood at the start."""
        return float(self._z(index) - self._start_z[index])

    def _z(self, index: int) -> float:
        return float(self.scene.data.body(self.scene.spec.objects[index].name).xpos[2])

    def photograph(self, path: Path) -> UInt8[np.ndarray, "H W 3"]:
        """Write a picture of arm and table from beside the robot."""
        pose = look_at(np.array([0.95, -0.85, 0.62]), np.array([0.32, 0.0, 0.16]))
        with SceneRenderer(self.scene) as renderer:
            rgb = renderer.render_from(pose, fovy_deg=48.0).rgb.copy()
        cv2.imwrite(str(path), rgb[..., ::-1])
        return rgb
