# SPDX-License-Identifier: Apache-2.0
"""Recorded messages to posed images: what the node does with messages, without a node, in the recording's own time.

Nothing waits: a frame is kept until the recording is `input.tf_timeout_s` further, as long as the node would have
waited for its pose. All stamps are those of headers; a recording has no age. What comes out depends on what was
recorded and in which order alone.
"""

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from lerf_ros.config import Config
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.errors import InputError
from lerf_ros.ros.cameras.frame import Frame, nanoseconds
from lerf_ros.ros.cameras.ingest import Ingest
from lerf_ros.ros.cameras.streams import CameraStreams
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.poses.listeners import take_odometry, take_pose, take_transforms
from lerf_ros.ros.poses.tf_buffer import TfBuffer
from lerf_ros.ros.selfcheck.check import SelfCheck
from lerf_ros.ros.settings import Settings

KINDS: Mapping[str, type] = {
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CompressedImage": CompressedImage,
    "sensor_msgs/msg/CameraInfo": CameraInfo,
    "geometry_msgs/msg/PoseStamped": PoseStamped,
    "nav_msgs/msg/Odometry": Odometry,
    "tf2_msgs/msg/TFMessage": TFMessage,
    "std_msgs/msg/String": String,
}
"""Types that a map can be made of, by their full names."""

CACHE_S = 30.0


class Message(Protocol):
    """One recorded message."""

    @property
    def topic(self) -> str:
        """Where it came."""

    @property
    def log_ns(self) -> int:
        """When it was received."""

    @property
    def cdr(self) -> bytes:
        """What it says, serialized."""


class Recording:
    """Turns messages into posed images, as the node would.

    Args:
        config: the node's; `input.pose_source` and `input.use_depth` say what is in the recording.
        streams: what each topic brings: image, camera_info, depth, depth_camera_info, pose, odometry, tf, tf_static or
            robot_description.
        types: full type name of each topic.

    Attributes:
        dropped: frames and poses that could not be used, by cause.
        reasons: the last text of each cause.
    """

    def __init__(self, config: Config, streams: Mapping[str, str], types: Mapping[str, str]) -> None:
        self._hold_ns = int(config.input.tf_timeout_s * 1e9)
        at_once = dataclasses.replace(config.input, tf_timeout_s=0.0, max_age_s=0.0)
        self._streams = streams
        self._types = types
        self._source = TfBuffer(CACHE_S)
        self._poses = CameraPoses(Settings(dataclasses.replace(config, input=at_once)), self._source)
        self._check = SelfCheck()
        self._now_ns = 0
        self._ingest = Ingest(at_once, self._poses, lambda: self._now_ns, self._check)
        self._camera = CameraStreams("", at_once)
        self._waiting: deque[tuple[int, Frame]] = deque()
        self.dropped: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}
        self._take: dict[str, Callable[[Any], None]] = {
            "pose": lambda m: take_pose(self._poses, "", m, self._refuse),
            "odometry": lambda m: take_odometry(self._poses, "", m, self._refuse, lambda _: None),
            "tf": lambda m: take_transforms(m, self._source, self._refuse, None, static=False),
            "tf_static": lambda m: take_transforms(m, self._source, self._refuse, None, static=True),
            "robot_description": lambda m: self._ingest.robot.descriptions.add(m.data),
        }

    def hear(self, messages: Iterable[Message]) -> None:
        """Take messages that hold for the whole recording, whenever they came: static transforms, the robot's shape."""
        for message in messages:
            self._receive(message)

    def images(self, messages: Iterable[Message]) -> Iterator[PosedImage]:
        """Yield the posed images of messages in the order in which they were received."""
        for message in messages:
            yield from self._due(message.log_ns)
            for frame in self._receive(message):
                self._waiting.append((message.log_ns + self._hold_ns, frame))
        yield from self._due(None)
        self.dropped.update(self._camera.matcher.dropped)

    def _receive(self, message: Message) -> list[Frame]:
        stream = self._streams[message.topic]
        content: Any = deserialize_message(message.cdr, KINDS[self._types[message.topic]])
        take = self._take.get(stream)
        if take is None:
            return self._camera.take(stream, content)
        take(content)
        return []

    def _due(self, log_ns: int | None) -> Iterator[PosedImage]:
        """Yield what has been kept long enough; None: all."""
        while self._waiting and (log_ns is None or self._waiting[0][0] <= log_ns):
            _, frame = self._waiting.popleft()
            self._now_ns = nanoseconds(frame.image.header.stamp)
            try:
                yield self._ingest(frame)
            except InputError as error:
                self._refuse(error)

    def _refuse(self, error: InputError, frame: str = "") -> None:
        self.dropped[error.cause] += 1
        self.reasons[error.cause] = str(error)
