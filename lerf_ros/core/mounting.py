# SPDX-License-Identifier: Apache-2.0
"""An error of a camera's mounting with its uncertainty, and how much of it has truly been observed.

Over a bare table, or from a narrow arc, some combinations of shift and turn leave what is seen as it is. Least squares
still puts numbers on those: the small errors that all depth and all normals share, multiplied. Their stated uncertainty
knows nothing of errors that are shared. So it is the directions in which views have told much more than was known
beforehand that decide, and they alone are reported.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from lerf_ros.core.geometry import rotation_angle

PRIOR = np.array([math.radians(3)] * 3 + [0.03] * 3)
"""Mountings are this exact to begin with: one sigma, radians and metres."""

TOLD = 0.05
"""A direction has been observed where views leave so much of the prior's uncertainty (0.15 degrees, 1.5 mm)."""

SIGNIFICANT = 22.46
"""Chi-square of six numbers that chance exceeds once in a thousand; of fewer, more seldom."""

SMALLEST = (math.radians(0.3), 0.003)
"""Corrections below both (radians, metres) are within what cameras are calibrated to: nothing to report."""

UNITS = np.roll(PRIOR, 3)


@dataclass(frozen=True, eq=False)
class Told:
    """The part of a mounting error that was observed; (x, y, z, rotation vector), metres and radians, camera axes.

    Attributes:
        vector: the error in the directions observed, 0 across them.
        covariance: of `vector`, of the rank that was observed.
        chi2: of it against no error.
    """

    vector: Float64[np.ndarray, " 6"]
    covariance: Float64[np.ndarray, "6 6"]
    chi2: float

    @property
    def shift_m(self) -> float:
        """How far the camera is off, as far as is known."""
        return float(np.linalg.norm(self.vector[:3]))

    @property
    def turn_rad(self) -> float:
        """How much it is turned, as far as is known."""
        return float(np.linalg.norm(self.vector[3:]))


@dataclass(frozen=True, eq=False)
class MountingError:
    """What one camera's keyframes say of its mounting.

    Attributes:
        T_cam_corrected: camera as it is (corrected) in the camera as given: the better pose is `T_world_cam` times it.
        covariance: of (x, y, z, rotation about x, y, z), metres and radians, at `T_cam_corrected`, camera axes.
        pairs: pairs of keyframes that were compared.
    """

    T_cam_corrected: Float64[np.ndarray, "4 4"]
    covariance: Float64[np.ndarray, "6 6"]
    pairs: int

    @cached_property
    def told(self) -> Told:
        """The part that was observed: along the eigenvectors of the covariance, in units of `PRIOR`, that are sure."""
        vector = np.concatenate([self.T_cam_corrected[:3, 3], rotation_vector(self.T_cam_corrected[:3, :3])]) / UNITS
        variances, directions = np.linalg.eigh(self.covariance / np.outer(UNITS, UNITS))
        sure = variances < TOLD**2
        variances, directions = variances[sure], directions[:, sure]
        along = directions.T @ vector
        covariance = (directions * variances) @ directions.T * np.outer(UNITS, UNITS)
        return Told(directions @ along * UNITS, covariance, float(np.sum(along**2 / variances)))

    @property
    def significant(self) -> bool:
        """Return whether what was observed is neither chance nor too little to care about."""
        told = self.told
        return told.chi2 > SIGNIFICANT and (told.turn_rad > SMALLEST[0] or told.shift_m > SMALLEST[1])


def rotation_vector(R: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, " 3"]:
    """Return the axis times the angle of a rotation well below half a turn."""
    axis = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    sine, angle = float(np.linalg.norm(axis)), rotation_angle(R)
    return axis if sine < 1e-9 else axis * (angle / sine)
