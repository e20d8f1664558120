# SPDX-License-Identifier: Apache-2.0
"""ROS 2 bags (sqlite3, MCAP), read without ROS: which topics there are, what they bring, and their messages in order.

Messages stay as they were recorded (CDR); who makes posed images of them is `lerf_ros.ros.recorded`, with the code that
the node uses.
"""

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lerf_ros.data.bag_topics import BagTopics, Sample, Wanted, choose
from lerf_ros.errors import DatasetError

SUFFIXES = (".db3", ".mcap")
ROS_1 = ".bag"
NAMED = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo")
"""Topics of these types are told apart by their first message."""


@dataclass(frozen=True)
class Recorded:
    """One message as it was recorded: CDR, received at `log_ns` (the recorder's clock)."""

    topic: str
    log_ns: int
    cdr: bytes


def is_bag(path: Path) -> bool:
    """Return whether a path looks like a bag: a folder with metadata.yaml, or a storage file.

    One of ROS 1 looks like one, too; to open it is refused in words that say what to do.
    """
    return (path / "metadata.yaml").is_file() or path.suffix in SUFFIXES or _is_ros_1(path)


def _is_ros_1(path: Path) -> bool:
    return path.suffix == ROS_1 and not path.is_dir()


class Bag:
    """An open bag. Leave the `with` block to close it.

    Raises:
        DatasetError: it is missing, truncated, of another format, or holds no messages.
    """

    def __init__(self, path: Path) -> None:
        from rosbags.rosbag2 import Reader, ReaderError
        from rosbags.typesys import Stores, get_typestore

        self.path = path
        self._broken: tuple[type[Exception], ...] = (
            ReaderError, OSError, sqlite3.Error, struct.error, ValueError, KeyError, AssertionError,
        )  # fmt: skip
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._stack = ExitStack()
        if _is_ros_1(path):
            raise DatasetError(f"{path} is a bag of ROS 1: convert it with `rosbags-convert --src {path} --dst FOLDER`")
        if not is_bag(path):
            raise DatasetError(f"{path} is no ROS 2 bag: neither a folder with metadata.yaml, nor a .db3 or .mcap file")
        try:
            self._reader: Any = self._stack.enter_context(Reader(path))
        except self._broken as error:
            raise DatasetError(f"{path} cannot be opened as a bag: {_short(error)}; is it complete?") from error
        self.types: dict[str, str] = {c.topic: c.msgtype for c in self._reader.connections}
        if not self._reader.message_count:
            self.close()
            raise DatasetError(f"{path} holds no messages")

    def __enter__(self) -> "Bag":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files."""
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    @property
    def span_ns(self) -> tuple[int, int]:
        """When the first and the last message were received."""
        return int(self._reader.start_time), int(self._reader.end_time) - 1

    def messages(self, topics: Sequence[str]) -> Iterator[Recorded]:
        """Yield the messages of some topics in the order in which they were received.

        Raises:
            DatasetError: the recording breaks off in the middle of a message, or is damaged.
        """
        wanted = [c for c in self._reader.connections if c.topic in topics]
        if not wanted:
            return
        read = 0
        try:
            for connection, log_ns, cdr in self._reader.messages(wanted):
                read += 1
                yield Recorded(connection.topic, int(log_ns), bytes(cdr))
        except self._broken as error:
            raise DatasetError(
                f"{self.path} is damaged after {read} messages ({_short(error)}): a recording that was cut off? "
                "`ros2 bag reindex` or the MCAP tool's `recover` may mend it"
            ) from error

    def choose(self, wanted: Wanted) -> BagTopics:
        """Return the topics that a map can be made of.

        Raises:
            DatasetError: there are none, or several: what there is is named, and the option that chooses; or one that
                was asked for has no messages.
        """
        topics = choose(str(self.path), self.types, self._samples(), wanted)
        if topics.pose and next(self.messages([topics.pose]), None) is None:
            raise DatasetError(f"{self.path}: {topics.pose} (--pose-topic) has no messages")
        return topics

    def _samples(self) -> dict[str, Sample]:
        """Return what the first message of every image and camera info tells of its topic."""
        samples: dict[str, Sample] = {}
        for topic, kind in self.types.items():
            if kind not in NAMED:
                continue
            first = next(self.messages([topic]), None)
            if first is not None:
                samples[topic] = self._sample(topic, kind, first.cdr)
        return samples

    def _sample(self, topic: str, kind: str, cdr: bytes) -> Sample:
        try:
            message: Any = self._types.deserialize_cdr(cdr, kind)
        except Exception as error:  # whatever the decoder stumbles over
            raise DatasetError(f"{self.path}: the first message on {topic} is no {kind}: {_short(error)}") from error
        encoding = getattr(message, "encoding", None) or getattr(message, "format", "")
        size = (getattr(message, "width", 0), getattr(message, "height", 0))
        return Sample(kind.split("/")[-1], str(encoding), str(message.header.frame_id), size)


def _short(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
