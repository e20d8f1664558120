# SPDX-License-Identifier: Apache-2.0
"""The topics of one camera: what they are called, how they are matched, and how often they come."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lerf_ros.config import InputConfig
from lerf_ros.errors import ConfigError
from lerf_ros.ros.cameras.frame import Frame, Picture, nanoseconds
from lerf_ros.ros.cameras.sync import StampMatcher

RATE_WINDOW_S = 5.0
SILENT_GAPS = 3.0
SILENT_S = 1.0
IMAGE, INFO, DEPTH, DEPTH_INFO = "image", "camera_info", "depth", "depth_camera_info"


@dataclass(frozen=True)
class Topic:
    """One subscription of a camera.

    Attributes:
        stream: what it brings: image, camera_info, depth or depth_camera_info.
        name: as it is subscribed to.
        base: resolved and remapped, without the transport.
        kind: type of its messages.
    """

    stream: str
    name: str
    base: str
    kind: type


class CameraStreams:
    """Messages of one camera in, frames out. Its methods are called by one thread.

    Args:
        camera: its name; empty: the only one.
        config: what is subscribed to, slop and size of queues.
    """

    def __init__(self, camera: str, config: InputConfig) -> None:
        self.camera = camera
        self._config = config
        streams = [INFO, DEPTH] if config.use_depth else [INFO]
        self.matcher: StampMatcher[Picture | CameraInfo] = StampMatcher(
            IMAGE, streams, int(config.sync_slop_s * 1e9), config.queue_depth
        )
        self.rate = Rate()
        self._depth_info: CameraInfo | None = None

    def topics(self, node: Node) -> list[Topic]:
        """Return what is subscribed to. Of a compressed one the base is remapped, as image_transport does."""
        config = self._config
        wanted: list[tuple[str, type, str]] = [
            (IMAGE, *((Image, "") if config.image_transport == "raw" else (CompressedImage, "compressed"))),
            (INFO, CameraInfo, ""),
        ]
        if config.use_depth:
            raw = config.depth_transport == "raw"
            wanted.append((DEPTH, *((Image, "") if raw else (CompressedImage, "compressedDepth"))))
            if config.depth_registration == "auto":
                wanted.append((DEPTH_INFO, CameraInfo, ""))
        out = []
        for stream, kind, transport in wanted:
            own = f"{self.camera}/{stream}".lstrip("/")
            base = node.resolve_topic_name(own)
            out.append(Topic(stream, f"{base}/{transport}" if transport else own, base, kind))
        return out

    def take(self, stream: str, message: Picture | CameraInfo) -> list[Frame]:
        """Take a message; return the frames that it completes."""
        if stream == DEPTH_INFO:
            self._depth_info = message
            return []
        if stream == IMAGE:
            self.rate.count()
        sets = self.matcher.add(stream, nanoseconds(message.header.stamp), message)
        return [Frame(s[IMAGE], s[INFO], s.get(DEPTH), self.camera, self._depth_info) for s in sets]

    def clear(self) -> None:
        """Forget what waits."""
        self.matcher.clear()
        self.rate.clear()
        self._depth_info = None


def check_topics(cameras: list[CameraStreams], node: Node) -> None:
    """Check that no two cameras share a topic, by whatever remapping.

    Raises:
        ConfigError: two do, or one camera takes image and depth from one topic.
    """
    taken: dict[str, str] = {}
    for camera in cameras:
        for topic in camera.topics(node):
            if topic.stream == DEPTH_INFO:
                continue
            who = f"{camera.camera}/{topic.stream}".lstrip("/")
            if topic.base in taken:
                raise ConfigError(
                    f"{taken[topic.base]} and {who} are both the topic {topic.base}: remap each to a topic of its own, "
                    "or take one camera out of input.cameras"
                )
            taken[topic.base] = who


class Rate:
    """How often something has happened lately.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: deque[float] = deque()

    def count(self) -> None:
        """It happened now."""
        now = self._clock()
        self._times.append(now)
        while now - self._times[0] > RATE_WINDOW_S:
            self._times.popleft()

    def hz(self) -> float:
        """Return how often a second; 0 when it has stopped."""
        times = self._times
        if len(times) < 2:
            return 0.0
        gap_s = (times[-1] - times[0]) / (len(times) - 1)
        stopped = self._clock() - times[-1] > max(SILENT_S, SILENT_GAPS * gap_s)
        return 0.0 if stopped else 1.0 / max(gap_s, 1e-9)

    def silent_s(self) -> float | None:
        """Return how long ago it happened last, seconds; None: never."""
        return self._clock() - self._times[-1] if self._times else None

    def clear(self) -> None:
        """Begin anew."""
        self._times.clear()
