# SPDX-License-Identifier: Apache-2.0
"""Masks of the robot that somebody else makes, matched with images by stamp; and what waits for messages."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Bool
from sensor_msgs.msg import Image

from lerf_ros.config import InputConfig
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.errors import InputError
from lerf_ros.ros.cameras.models import CameraModel, Undistorter

KEPT = 30  # masks of a camera that wait for their image
ENCODINGS = ("mono8", "8UC1")

T = TypeVar("T")


class Arrivals(Generic[T]):
    """The newest few of what arrives. Self-locked: a callback adds, another thread waits."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque(maxlen=size)
        self._came = threading.Condition()

    def add(self, item: T) -> None:
        """Take one."""
        with self._came:
            self._items.append(item)
            self._came.notify_all()

    def newest(self) -> T | None:
        """Return the newest one, if any."""
        with self._came:
            return self._items[-1] if self._items else None

    def wait(self, wanted: Callable[[T], bool], until: float) -> T | None:
        """Return the newest one that is `wanted`; None if none came until a time of the monotonic clock, seconds."""
        with self._came:
            while True:
                for item in reversed(self._items):
                    if wanted(item):
                        return item
                left = until - time.monotonic()
                if left <= 0:
                    return None
                self._came.wait(left)


class MaskTopics:
    """Masks of all cameras: mono8 of the image's size as it comes from the camera; not 0 on the robot."""

    def __init__(self) -> None:
        self._arrivals: dict[str, Arrivals[tuple[int, Image]]] = {}
        self._undistorters: dict[str, Undistorter] = {}

    @staticmethod
    def topic(camera: str) -> str:
        """Return the name of a camera's topic of masks."""
        return f"{camera}/mask" if camera else "mask"

    def add(self, camera: str, stamp_ns: int, mask: Image) -> None:
        """Take a mask."""
        self._of(camera).add((stamp_ns, mask))

    def robot(
        self, image: PosedImage, model: CameraModel, camera: str, config: InputConfig, until: float
    ) -> Bool[np.ndarray, "H W"]:
        """Return where an undistorted image shows the robot, waiting for its mask until a time of the monotonic clock.

        Raises:
            InputError: cause ``self_filter_no_mask`` (none came) or ``self_filter_mask`` (it cannot be used).
        """
        slop_ns, stamp_ns = int(config.sync_slop_s * 1e9), image.stamp_ns
        found = self._of(camera).wait(lambda item: abs(item[0] - stamp_ns) <= slop_ns, until)
        if found is None:
            raise InputError(
                "self_filter_no_mask",
                f"no mask on {self.topic(camera)!r} within input.sync_slop_s of the image: it must carry the image's "
                "stamp (or set input.self_filter to urdf or none)",
            )
        raw = _pixels(found[1], (model.intrinsics.height, model.intrinsics.width))
        if not model.distortion:
            return raw
        undistorter = self._undistorters.setdefault(camera, Undistorter())
        return np.asarray(undistorter.depth(model, raw.astype(np.float32)) > 0)

    def _of(self, camera: str) -> Arrivals[tuple[int, Image]]:
        return self._arrivals.setdefault(camera, Arrivals(KEPT))


def _pixels(message: Image, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    height, width = size
    if message.encoding not in ENCODINGS:
        raise InputError("self_filter_mask", f"mask encoding {message.encoding!r} is not mono8 (not 0 on the robot)")
    if (message.height, message.width) != size:
        raise InputError(
            "self_filter_mask", f"mask is {message.width} x {message.height} but its image {width} x {height}"
        )
    if message.step < width or len(message.data) < message.step * height:
        raise InputError("self_filter_mask", f"mask has {len(message.data)} bytes: too few for its size")
    rows = np.frombuffer(message.data, np.uint8, count=message.step * height).reshape(height, message.step)
    return np.asarray(rows[:, :width] != 0)
