# SPDX-License-Identifier: Apache-2.0
"""What the node asks of a store of transforms, whichever it is: ours, or tf2's where ROS has it.

Both keep the same promises, and one test holds them to it: between two samples poses are interpolated (slerp, lerp);
none is extrapolated or invented; what is not a rigid transform never gets in; a wait is bounded and ends with `close`.
"""

import math
from typing import Protocol

import numpy as np
from jaxtyping import Float64

from lerf_ros.errors import PoseError

NORM_TOLERANCE = 1e-2  # of quaternions, as of `geometry.matrix_from_quaternion`

Position = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


class PoseSource(Protocol):
    """Transforms over time. Self-locked: one thread writes, any looks up and may wait. Names lose a leading slash."""

    def record(
        self, parent: str, child: str, stamp_ns: int, position: Position, quaternion: Quaternion, *,
        static: bool = False,
    ) -> None:  # fmt: skip
        """Take a pose of `child` in `parent` (metres; x, y, z, w). A child that changes its parent starts anew.

        Raises:
            PoseError: cause ``tf_frame`` (names no two frames), ``pose_not_finite`` or ``pose_not_rigid``.
        """

    def lookup(self, target: str, source: str, stamp_ns: int | None) -> Float64[np.ndarray, "4 4"]:
        """Return `T_target_source` at `stamp_ns`; None: the newest there is.

        Raises:
            PoseError: cause ``tf_unknown_frame``, ``tf_disconnected``, ``tf_extrapolation`` or ``tf_loop``.
        """

    def wait(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> Float64[np.ndarray, "4 4"]:
        """As `lookup`, waiting up to `timeout_s` for transforms that may still come.

        Raises:
            PoseError: as `lookup`.
        """

    def newest_stamp(self, target: str, source: str) -> int | None:
        """Return the newest stamp at which all that moves between two frames is known; None: nothing there moves.

        Raises:
            PoseError: cause ``tf_unknown_frame``, ``tf_disconnected`` or ``tf_loop``.
        """

    def clear(self) -> None:
        """Forget all that moves, e.g. because time has jumped back; what is static stays."""

    def close(self) -> None:
        """Let nobody wait any more."""


def frame_names(parent: str, child: str) -> tuple[str, str]:
    """Return both names without a leading slash.

    Raises:
        PoseError: cause ``tf_frame``, a name is empty or a frame is its own parent.
    """
    parent, child = parent.lstrip("/"), child.lstrip("/")
    if not parent or not child or parent == child:
        raise PoseError("tf_frame", f"a transform from {parent!r} to {child!r} names no two frames")
    return parent, child


def unit(position: Position, quaternion: Quaternion) -> Quaternion:
    """Return the quaternion scaled to length 1; in plain numbers, because this is done for every transform.

    Raises:
        PoseError: cause ``pose_not_finite``, or ``pose_not_rigid`` for a norm away from 1 by more than 1 %.
    """
    if not all(map(math.isfinite, (*position, *quaternion))):
        raise PoseError("pose_not_finite", f"position {position}, quaternion {quaternion} hold NaN or infinity")
    norm = math.hypot(*quaternion)
    if abs(norm - 1.0) > NORM_TOLERANCE:
        raise PoseError("pose_not_rigid", f"quaternion {quaternion} has norm {norm:.4g}, not 1")
    x, y, z, w = quaternion
    return x / norm, y / norm, z / norm, w / norm
