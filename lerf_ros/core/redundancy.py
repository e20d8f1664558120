# SPDX-License-Identifier: Apache-2.0
"""Which of many camera poses tells the least: kept up to date, so that adding or removing one does not compare all."""

import numpy as np
from jaxtyping import Float64, Int64

TURN_M_PER_RAD = 1 / 3
"""A turn of three radians is as far as a metre."""


class Redundancy:
    """Poses in order of arrival, with the nearest other one of each. Not locked: one thread uses it.

    Adding costs one comparison with each pose; removing, one more for each that had the removed one as its nearest.
    """

    def __init__(self) -> None:
        self._poses: Float64[np.ndarray, "N 3 4"] = np.zeros((0, 3, 4))
        self._distance: Float64[np.ndarray, " N"] = np.zeros(0)
        self._nearest: Int64[np.ndarray, " N"] = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._poses)

    def add(self, T_world_cam: Float64[np.ndarray, "4 4"]) -> None:
        """Append a pose."""
        new, pose = len(self), T_world_cam[:3]
        self._poses = np.concatenate([self._poses, pose[None]])
        apart = self._apart(new)
        nearer = np.flatnonzero(apart[:new] < self._distance)
        self._distance[nearer], self._nearest[nearer] = apart[nearer], new
        closest = int(apart.argmin())
        self._distance = np.append(self._distance, apart[closest])
        self._nearest = np.append(self._nearest, closest)

    def remove(self, index: int) -> None:
        """Forget a pose; those after it move up."""
        self._poses = np.delete(self._poses, index, axis=0)
        self._distance, self._nearest = np.delete(self._distance, index), np.delete(self._nearest, index)
        widowed = np.flatnonzero(self._nearest == index)
        self._nearest -= self._nearest > index
        for k in widowed:
            apart = self._apart(int(k))
            self._nearest[k] = apart.argmin()
            self._distance[k] = apart[self._nearest[k]]

    def most_redundant(self) -> int:
        """Return the index (not the last) of the pose that is nearest to another; there are two or more."""
        return int(self._distance[:-1].argmin())

    def nearest(self, index: int) -> int:
        """Return the index of the pose nearest to one."""
        return int(self._nearest[index])

    def _apart(self, index: int) -> Float64[np.ndarray, " N"]:
        """Return the distance of each pose to one of them, infinite to itself: metres + radians / 3."""
        pose = self._poses[index]
        out = np.linalg.norm(self._poses[:, :, 3] - pose[:, 3], axis=-1)
        trace = np.einsum("iab,ab->i", self._poses[:, :, :3], pose[:, :3])
        out += np.arccos(np.clip((trace - 1) / 2, -1, 1)) * TURN_M_PER_RAD
        out[index] = np.inf
        return np.asarray(out)
