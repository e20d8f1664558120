# SPDX-License-Identifier: Apache-2.0
"""What camera poses should not do: leap, or stand still while the camera sees something else. Knows no ROS types."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

SMALL = (32, 24)
"""Images are compared at this size: a camera that moves changes all of it, a thing that is moved a part."""

CHANGED = 0.5
CHANGED_SHARE = 0.4
"""A pixel has changed by this many standard deviations of its image; so many of them have when the camera moved."""

EXACTLY = 1e-9
"""Encoders flicker when an arm stands; poses that differ by less are one and the same transform once more."""

MAX_GAP_NS = 2_000_000_000
"""Between images further apart a camera may have been carried anywhere."""

WhereWhen = tuple[int, Float64[np.ndarray, "4 4"]]


class Leaps:
    """Looks for poses that no camera can have taken one after the other."""

    def __init__(self) -> None:
        self._last: dict[str, WhereWhen] = {}

    def look(self, camera: str, stamp_ns: int, T_world_cam: Float64[np.ndarray, "4 4"], limit_mps: float) -> str | None:
        """Return what is wrong with a camera's next pose; None: nothing."""
        before = self._last.get(camera)
        self._last[camera] = (stamp_ns, T_world_cam)
        if before is None or not limit_mps or not 0 < stamp_ns - before[0] <= MAX_GAP_NS:
            return None
        moved_m = float(np.linalg.norm(T_world_cam[:3, 3] - before[1][:3, 3]))
        gap_s = (stamp_ns - before[0]) / 1e9
        if moved_m <= limit_mps * gap_s:
            return None
        return (
            f"{camera} moved {moved_m:.3f} m in {gap_s:.3f} s, faster than input.max_speed_mps = {limit_mps}: two "
            "publishers of one transform, an encoder that was zeroed anew, or a localisation that leapt? What is "
            "mapped before and after does not fit together"
        )

    def forget(self) -> None:
        """Begin anew, because time has gone back: the last poses are later than what comes."""
        self._last.clear()


@dataclass(frozen=True, eq=False)
class _Stand:
    """Since when a camera has been said to stand where it stands, and what it saw then."""

    stamp_ns: int
    T_world_cam: Float64[np.ndarray, "4 4"]
    seen: Float32[np.ndarray, "h w"]


class Stillness:
    """Looks for poses that do not change while images do."""

    def __init__(self) -> None:
        self._stands: dict[str, _Stand] = {}

    def look(
        self, camera: str, stamp_ns: int, T_world_cam: Float64[np.ndarray, "4 4"], rgb: UInt8[np.ndarray, "H W 3"],
        after_s: float,
    ) -> str | None:  # fmt: skip
        """Return what is wrong with a camera's images and poses; None: nothing."""
        now = _Stand(stamp_ns, T_world_cam, _small(rgb))
        stand = self._stands.get(camera)
        went_back = stand is not None and stamp_ns < stand.stamp_ns
        if stand is None or went_back or np.abs(stand.T_world_cam - T_world_cam).max() > EXACTLY:
            self._stands[camera] = now
            return None
        still_s = (stamp_ns - stand.stamp_ns) / 1e9
        changed = float((np.abs(now.seen - stand.seen) > CHANGED).mean())
        if not after_s or still_s < after_s or changed < CHANGED_SHARE:
            return None
        return (
            f"the pose of {camera} has been the very same for {still_s:.1f} s, while {100 * changed:.0f} % of its "
            "image changed: are joint states still published, or repeated by a driver that hangs?"
        )

    def forget(self) -> None:
        """Begin anew."""
        self._stands.clear()


def _small(rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w"]:
    """Return the image small and grey, with mean 0 and deviation 1: a lamp that is switched changes nothing."""
    small = cv2.resize(np.ascontiguousarray(rgb[::2, ::2]), SMALL, interpolation=cv2.INTER_AREA)
    grey = np.asarray(small, np.float32).mean(axis=2)
    return np.asarray((grey - grey.mean()) / max(float(grey.std()), 4.0), np.float32)
