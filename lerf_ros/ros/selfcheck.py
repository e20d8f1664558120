# SPDX-License-Identifier: Apache-2.0
"""Names what is wrong with the inputs, once each, instead of leaving a node that silently maps nothing."""

import logging
import threading
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from lerf_ros.core.geometry import invert, rotation_angle
from lerf_ros.core.keyframes import PosedImage

STILL_FRAMES = 100  # frames from one and the same pose before it is worth a word
STILL_NS = 10_000_000_000
STILL_M = 1e-4
STILL_RAD = 1e-4
UNMATCHED_FRAMES = 10

_log = logging.getLogger(__name__)


class SelfCheck:
    """Collects faults by name; each is logged once and stays in `warnings`. Self-locked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._warnings: dict[str, str] = {}
        self._standing: _Standing | None = None
        self._still = 0
        self._cameras: set[str] = set()

    @property
    def warnings(self) -> list[str]:
        """All faults named so far, as ``name: text``."""
        with self._lock:
            return [f"{name}: {text}" for name, text in self._warnings.items()]

    def warn(self, name: str, text: str) -> None:
        """Record a fault; log it the first time it is named."""
        with self._lock:
            if name in self._warnings:
                return
            self._warnings[name] = text
        _log.warning("%s: %s", name, text)

    def refused(self, cause: str, text: str) -> None:
        """A frame, pose or transform could not be used."""
        self.warn(cause, text)

    def qos_mismatch(self, topic: str, policy: str) -> None:
        """A publisher of `topic` offers less than is asked for, so nothing arrives from it."""
        self.warn(
            f"qos_mismatch {topic}",
            f"a publisher of {topic} is incompatible in {policy}: set input.reliability to best_effort "
            "(it receives from both kinds)",
        )

    def unmatched(self, dropped: int, matched: int, closest_miss_ns: dict[str, int]) -> None:
        """Say so when images keep coming but never find their partners."""
        if matched or dropped < UNMATCHED_FRAMES:
            return
        if closest_miss_ns:
            stream, apart = max(closest_miss_ns.items(), key=lambda item: item[1])
            self.warn(
                "stamps_apart",
                f"no {stream} message came within input.sync_slop_s of an image, the closest {apart / 1e9:.3f} s off: "
                "raise it, or have the driver stamp them alike",
            )
        else:
            self.warn("stream_missing", "images arrive but nothing on camera_info (or depth): check the remappings")

    def accepted(self, image: PosedImage) -> None:
        """Look at a frame that was fine in itself."""
        with self._lock:
            new_camera = image.camera not in self._cameras
            self._cameras.add(image.camera)
        if new_camera and not image.camera.endswith(("_optical_frame", "_optical")):
            self.warn(
                "frame_not_optical",
                f"the image's frame {image.camera!r} is not named as an optical frame (..._optical_frame): if its x "
                "axis points forward, all poses are wrong (REP 103: z forward, x right, y down)",
            )
        i = image.intrinsics
        if not (0.2 * i.width < i.cx < 0.8 * i.width and 0.2 * i.height < i.cy < 0.8 * i.height):
            self.warn(
                "principal_point", f"cx, cy = {i.cx:.1f}, {i.cy:.1f} lie far off the centre of {i.width} x {i.height}"
            )
        self._check_motion(image)

    def _check_motion(self, image: PosedImage) -> None:
        here = _Standing(image.camera, image.T_world_cam, image.stamp_ns)
        with self._lock:
            if self._standing is None or not self._standing.same_place(here):
                self._standing, self._still = here, 0
                return
            self._still += 1
            long_enough = image.stamp_ns - self._standing.stamp_ns >= STILL_NS
        if self._still >= STILL_FRAMES and long_enough:
            self.warn(
                "pose_not_moving",
                f"{self._still} frames came from one and the same pose: the map needs views from several sides; if "
                "the camera did move, its transform is static",
            )


@dataclass(frozen=True)
class _Standing:
    """Where and since when a camera has been standing still."""

    camera: str
    T_world_cam: Float64[np.ndarray, "4 4"]
    stamp_ns: int

    def same_place(self, other: "_Standing") -> bool:
        T_self_other = invert(self.T_world_cam) @ other.T_world_cam
        moved = float(np.linalg.norm(T_self_other[:3, 3])) > STILL_M
        return self.camera == other.camera and not moved and rotation_angle(T_self_other[:3, :3]) <= STILL_RAD
