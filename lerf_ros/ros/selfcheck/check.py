# SPDX-License-Identifier: Apache-2.0
"""Names what is wrong with the inputs, with the remedy, instead of leaving a node that silently maps nothing.

A fault has a stable name, is logged once, stands in `warnings` for as long as it lasts, with what was said of it last,
and leaves when it is cured.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.cameras.frame import Frame
from lerf_ros.ros.selfcheck.axes import AxesCheck
from lerf_ros.ros.selfcheck.colours import ColourOrderCheck
from lerf_ros.ros.selfcheck.fault import Fault
from lerf_ros.ros.selfcheck.frozen import FrozenCheck
from lerf_ros.ros.selfcheck.motion import MotionCheck
from lerf_ros.ros.selfcheck.small import SmallFrame
from lerf_ros.ros.selfcheck.stamps import StampCheck
from lerf_ros.ros.selfcheck.units import depth_unit

UNMATCHED_FRAMES = 10
CURED_FRAMES = 30  # good frames in a row after which what refused others before is over
MAX_FRAMES: Final = 16
"""Frames whose refused transforms are told of each by itself; names come from outside, and may never end."""

Verdicts = Mapping[str, str | None]
"""Of one look: name of a fault -> what it is and how to mend it, or None where it is cured; no opinion: not there."""

_log = logging.getLogger(__name__)


@dataclass
class _Warning:
    text: str
    camera: str
    good_frames: int | None = None  # since it was last seen; None: somebody else tells when it is cured
    of_frame: bool = False  # `camera` is a frame of the robot: anybody's good images cure it


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
        self._dropped_then: dict[str, int] = {}  # when a camera's images were last matched
        self._refused_poses: Counter[str] = Counter()

    @property
    def warnings(self) -> list[str]:
        """All faults that last, as ``name: text``; where there are several cameras, as ``name: text (camera)``."""
        return [str(fault) for fault in self.faults]

    @property
    def faults(self) -> list[Fault]:
        """All faults that last."""
        with self._lock:
            several = max(len(self._cameras), len(self._matched)) > 1
            return [
                Fault(name, w.text, w.camera if several or w.of_frame else "")
                for (name, _), w in self._warnings.items()
                if name not in self.ignored
            ]

    @property
    def refused_poses(self) -> Mapping[str, int]:
        """Transforms and poses that could not be used, by cause. No image need have been dropped for one."""
        with self._lock:
            return dict(self._refused_poses)

    def warn(self, name: str, text: str, camera: str = "") -> None:
        """Record a fault until `clear`, or what is now said of it; log it the first time it is named."""
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

    def refused(self, cause: str, text: str, camera: str = "") -> None:
        """An image could not be used: a fault until many in a row of that camera could."""
        self._record(cause, _Warning(text, camera, good_frames=0))

    def refused_pose(self, cause: str, text: str, frame: str) -> None:
        """A transform or pose of `frame` could not be used: a fault until none was for many images."""
        with self._lock:
            self._refused_poses[cause] += 1
            frames = {w.camera for w in self._warnings.values() if w.of_frame}
        known = frame in frames or len(frames) < MAX_FRAMES
        self._record(cause, _Warning(text, frame if known else "others", good_frames=0, of_frame=True))

    def qos_mismatch(self, topic: str, policy: str, camera: str = "") -> None:
        """A publisher of `topic` offers less than is asked for, so nothing arrives from it; `topic` is remapped."""
        self.warn(
            f"qos_mismatch {topic}",
            f"a publisher of {topic} is incompatible in {policy}: set input.reliability to best_effort "
            "(it receives from both kinds)",
            camera,
        )

    def unmatched(self, dropped: int, matched: int, closest_miss_ns: dict[str, int], camera: str = "") -> None:
        """Say so when images keep coming but never find their partners; `camera` as in `input.cameras`.

        Where more of them do, whatever kept messages from coming is over.
        """
        with self._lock:
            flows = matched > self._matched.get(camera, 0)
            self._matched[camera] = matched
            mismatches = [name for name, of in self._warnings if name.startswith("qos_mismatch") and of == camera]
            if flows:
                self._dropped_then[camera] = dropped
            since = dropped - self._dropped_then.get(camera, 0)
        if flows:
            self.judge(dict.fromkeys(mismatches), camera)
            self.judge({"stamps_apart": None, "stream_missing": None}, camera)
        elif since >= UNMATCHED_FRAMES and closest_miss_ns:
            stream, apart = max(closest_miss_ns.items(), key=lambda item: item[1])
            text = (
                f"no {stream} message came within input.sync_slop_s of an image, the closest {apart / 1e9:.3f} s off: "
                "raise it, or have the driver stamp them alike"
            )
            self.judge({"stamps_apart": text, "stream_missing": None}, camera)
        elif since >= UNMATCHED_FRAMES:
            text = "images arrive but nothing on camera_info (or depth): check the remappings"
            self.judge({"stream_missing": text, "stamps_apart": None}, camera)

    def nothing_expected(self, dropped: int, camera: str = "") -> None:
        """Begin anew to count the images without partners: a camera is not listened to any more."""
        with self._lock:
            self._dropped_then[camera] = dropped
        self.judge({"stamps_apart": None, "stream_missing": None}, camera)

    def received(self, frame: Frame, now_ns: int) -> None:
        """Look at messages as they came, before anything is refused; `now_ns` is the node's time."""
        camera = frame.image.header.frame_id
        self.judge(self._of(camera).stamps.look(frame.image.header.stamp, now_ns), camera)
        if frame.depth is not None:
            self.judge(depth_unit(frame.depth), camera)

    def accepted(self, image: PosedImage, camera: str = "") -> None:
        """Look at a frame that was fine in itself; `camera` as in `input.cameras`."""
        small = SmallFrame.of(image)
        for check in self._of(image.camera).checks:
            self.judge(check.look(small), image.camera)
        with self._lock:
            mine = ("", camera, image.camera)
            lasting = [
                (key, w) for key, w in self._warnings.items()
                if w.good_frames is not None and (w.of_frame or w.camera in mine)
            ]  # fmt: skip
            for _, warning in lasting:
                warning.good_frames = (warning.good_frames or 0) + 1
            cured = [key for key, w in lasting if (w.good_frames or 0) >= CURED_FRAMES]
        for name, source in cured:
            self.clear(name, source)

    def _of(self, camera: str) -> _Camera:
        with self._lock:
            return self._cameras.setdefault(camera, _Camera())

    def _record(self, name: str, warning: _Warning) -> None:
        key = (name, warning.camera)
        with self._lock:
            known = self._warnings.get(key)
            if known is not None:
                known.text, known.good_frames = warning.text, warning.good_frames
                return
            self._warnings[key] = warning
            first = key not in self._logged
            self._logged.add(key)
        if first and name not in self.ignored:
            _log.warning("%s: %s", name, warning.text)
