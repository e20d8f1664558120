# SPDX-License-Identifier: Apache-2.0
"""Names what is wrong with the inputs, with the remedy, instead of leaving a node that silently maps nothing.

A fault has a stable name, is logged once, stands in `warnings` for as long as it lasts, and leaves when it is cured.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.cameras.frame import Frame
from lerf_ros.ros.selfcheck.axes import AxesCheck
from lerf_ros.ros.selfcheck.colours import ColourOrderCheck
from lerf_ros.ros.selfcheck.frozen import FrozenCheck
from lerf_ros.ros.selfcheck.motion import MotionCheck
from lerf_ros.ros.selfcheck.small import SmallFrame
from lerf_ros.ros.selfcheck.stamps import StampCheck
from lerf_ros.ros.selfcheck.units import depth_unit

UNMATCHED_FRAMES = 10
CURED_FRAMES = 30  # good frames in a row after which what refused others before is over

Verdicts = Mapping[str, str | None]
"""Of one look: name of a fault -> what it is and how to mend it, or None where it is cured; no opinion: not there."""

_log = logging.getLogger(__name__)


@dataclass
class _Warning:
    text: str
    camera: str
    good_frames: int | None = None  # since it was last seen; None: somebody else tells when it is cured


class _Camera:
    """The checks of one camera. Only the encoder thread looks through them."""

    def __init__(self) -> None:
        self.stamps = StampCheck()
        self.checks = (MotionCheck(), FrozenCheck(), AxesCheck(), ColourOrderCheck())


class SelfCheck:
    """Collects faults by name and camera. Self-locked; `received` and `accepted` belong to one thread.

    Attributes:
        ignored: names that are not to be reported.
    """

    def __init__(self) -> None:
        self.ignored: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._warnings: dict[tuple[str, str], _Warning] = {}
        self._logged: set[tuple[str, str]] = set()
        self._cameras: dict[str, _Camera] = {}
        self._matched: dict[str, int] = {}

    @property
    def warnings(self) -> list[str]:
        """All faults that last, as ``name: text``; where there are several cameras, as ``name: text (camera)``."""
        with self._lock:
            several = len(self._cameras) > 1
            return [
                f"{name}: {w.text}" + (f" ({w.camera})" if several and w.camera else "")
                for (name, _), w in self._warnings.items()
                if name not in self.ignored
            ]

    def warn(self, name: str, text: str, camera: str = "") -> None:
        """Record a fault until `clear`; log it the first time it is named."""
        self._record(name, _Warning(text, camera))

    def clear(self, name: str, camera: str = "") -> None:
        """Take back a fault that is cured; nothing happens if it was never named."""
        with self._lock:
            gone = self._warnings.pop((name, camera), None)
        if gone is not None:
            _log.info("%s: cured%s", name, f" ({camera})" if camera else "")

    def judge(self, verdicts: Verdicts, camera: str = "") -> None:
        """Record and take back what one look has found."""
        for name, text in verdicts.items():
            if text is None:
                self.clear(name, camera)
            else:
                self.warn(name, text, camera)

    def refused(self, cause: str, text: str) -> None:
        """A frame, pose or transform could not be used: a fault until many frames in a row could."""
        self._record(cause, _Warning(text, "", good_frames=0))

    def qos_mismatch(self, topic: str, policy: str) -> None:
        """A publisher of `topic` offers less than is asked for, so nothing arrives from it."""
        self.warn(
            f"qos_mismatch {topic}",
            f"a publisher of {topic} is incompatible in {policy}: set input.reliability to best_effort "
            "(it receives from both kinds)",
        )

    def unmatched(self, dropped: int, matched: int, closest_miss_ns: dict[str, int], camera: str = "") -> None:
        """Say so when images keep coming but never find their partners; `camera` as in `input.cameras`.

        Where more of them do, whatever kept messages from coming is over.
        """
        with self._lock:
            flows = matched > self._matched.get(camera, 0)
            self._matched[camera] = matched
            mismatches = [name for name, _ in self._warnings if name.startswith("qos_mismatch") and camera in name]
        if flows:
            self.judge(dict.fromkeys(mismatches))
        if matched:
            self.judge({"stamps_apart": None, "stream_missing": None}, camera)
        elif dropped >= UNMATCHED_FRAMES and closest_miss_ns:
            stream, apart = max(closest_miss_ns.items(), key=lambda item: item[1])
            text = (
                f"no {stream} message came within input.sync_slop_s of an image, the closest {apart / 1e9:.3f} s off: "
                "raise it, or have the driver stamp them alike"
            )
            self.judge({"stamps_apart": text, "stream_missing": None}, camera)
        elif dropped >= UNMATCHED_FRAMES:
            text = "images arrive but nothing on camera_info (or depth): check the remappings"
            self.judge({"stream_missing": text, "stamps_apart": None}, camera)

    def received(self, frame: Frame, now_ns: int) -> None:
        """Look at messages as they came, before anything is refused; `now_ns` is the node's time."""
        camera = frame.image.header.frame_id
        self.judge(self._of(camera).stamps.look(frame.image.header.stamp, now_ns), camera)
        if frame.depth is not None:
            self.judge(depth_unit(frame.depth), camera)

    def accepted(self, image: PosedImage) -> None:
        """Look at a frame that was fine in itself."""
        small = SmallFrame.of(image)
        for check in self._of(image.camera).checks:
            self.judge(check.look(small), image.camera)
        with self._lock:
            lasting = [(key, w) for key, w in self._warnings.items() if w.good_frames is not None]
            for _, warning in lasting:
                warning.good_frames = (warning.good_frames or 0) + 1
            cured = [key for key, w in lasting if (w.good_frames or 0) >= CURED_FRAMES]
        for name, camera in cured:
            self.clear(name, camera)

    def _of(self, camera: str) -> _Camera:
        with self._lock:
            return self._cameras.setdefault(camera, _Camera())

    def _record(self, name: str, warning: _Warning) -> None:
        key = (name, warning.camera)
        with self._lock:
            known = self._warnings.get(key)
            if known is not None:
                known.good_frames = warning.good_frames
                return
            self._warnings[key] = warning
            first = key not in self._logged
            self._logged.add(key)
        if first and name not in self.ignored:
            _log.warning("%s: %s", name, warning.text)
