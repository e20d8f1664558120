# SPDX-License-Identifier: Apache-2.0
"""What is where in a scene: the judge of every answer. No part of what is judged may use it."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.spatial import cKDTree

from lerf_ros.sim.scene import Scene
from lerf_ros.sim.truth import surface_points

RIGHT_WITHIN_M: Final = 0.02
OWNED_WITHIN_M: Final = 0.01
"""A surface point nearer than this to an object's true surface belongs to the nearest such object."""

SURFACE_POINTS: Final = 6000
NOBODY: Final = -1


class Truth:
    """The true surfaces of a scene's objects.

    Args:
        clouds: points of each object's surface, metres, in base_link.
    """

    def __init__(self, clouds: Sequence[Float64[np.ndarray, "_ 3"]]) -> None:
        self.clouds = tuple(clouds)
        self._trees = [cKDTree(cloud) for cloud in clouds]

    def distances_m(self, points: Float[np.ndarray, "N 3"]) -> Float64[np.ndarray, "K N"]:
        """Return the distance of each point to each object's surface."""
        return np.stack([tree.query(points)[0] for tree in self._trees])

    def judge(self, point: Float[np.ndarray, " 3"], objects: Sequence[int]) -> tuple[bool, float]:
        """Return whether a point hits one of the right objects, and its distance to the nearest of them.

        It hits when the nearest surface of all objects is a right one's, and nearer than 2 cm.
        """
        distance = self.distances_m(np.asarray(point, np.float64)[None])[:, 0]
        error = float(distance[list(objects)].min())
        return bool(int(distance.argmin()) in objects and error <= RIGHT_WITHIN_M), error

    def hits(self, distances_m: Float64[np.ndarray, "K N"], objects: Sequence[int]) -> Bool[np.ndarray, " N"]:
        """Return which points would be a hit, by the rule of `judge`."""
        return np.asarray(np.isin(distances_m.argmin(axis=0), objects) & (distances_m.min(axis=0) <= RIGHT_WITHIN_M))

    def owners(self, distances_m: Float64[np.ndarray, "K N"]) -> Int64[np.ndarray, " N"]:
        """Return the object each point belongs to, -1 for none."""
        return np.where(distances_m.min(axis=0) < OWNED_WITHIN_M, distances_m.argmin(axis=0), NOBODY)

    def centre_error_m(self, centre: Float64[np.ndarray, " 3"], objects: Sequence[int]) -> float:
        """Return the distance from a box's centre to that of the nearest right object's bounding box."""
        centres = [(self.clouds[i].min(axis=0) + self.clouds[i].max(axis=0)) / 2 for i in objects]
        return float(min(np.linalg.norm(centre - c) for c in centres))


def truth_of(scene: Scene) -> Truth:
    """Return the truth of a scene as it stands now."""
    return Truth([surface_points(scene, i, SURFACE_POINTS) for i in range(len(scene.spec.objects))])
