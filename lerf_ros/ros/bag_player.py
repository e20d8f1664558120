# SPDX-License-Identifier: Apache-2.0
"""Publishes recorded messages as they were, on the topics that the node listens to; and simulated time."""

from collections.abc import Mapping
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from lerf_ros.ros.capture_publisher import CAMERA_QOS
from lerf_ros.ros.outputs.topic import LATCHED
from lerf_ros.ros.poses.listeners import DYNAMIC, STATIC
from lerf_ros.ros.recorded import KINDS

CLOCK_QOS = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
QOS = {"tf": DYNAMIC, "tf_static": STATIC, "robot_description": LATCHED}
"""Of streams; all others are sent as a camera driver sends them."""


class BagPlayer(Node):
    """A player of bags.

    Args:
        streams: what each recorded topic brings: image, camera_info, depth, pose, tf ...
        types: full type name of each.
        recorded_names: publish on the topics of the recording instead of the node's own.
        clock: publish /clock.
    """

    def __init__(self, streams: Mapping[str, str], types: Mapping[str, str], recorded_names: bool, clock: bool) -> None:
        super().__init__("lerf_replay")
        self._senders: dict[str, Any] = {}
        self._needed: list[Any] = []
        for topic, stream in streams.items():
            name = topic if recorded_names else _own_name(topic, stream)
            sender = self.create_publisher(KINDS[types[topic]], name, QOS.get(stream, CAMERA_QOS))
            self._senders[topic] = sender
            if stream in ("image", "camera_info", "tf", "pose", "odometry"):
                self._needed.append(sender)
        self._teller = self.create_publisher(Clock, "/clock", CLOCK_QOS) if clock else None

    def has_subscribers(self) -> bool:
        """Return whether somebody listens to the images, their camera info and the poses."""
        return all(sender.get_subscription_count() > 0 for sender in self._needed)

    def publish(self, topic: str, cdr: bytes) -> None:
        """Publish a recorded message as it is."""
        self._senders[topic].publish(cdr)

    def tell_time(self, now_ns: int) -> None:
        """Publish the time of the recording, if asked for."""
        if self._teller is not None:
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(now_ns, 1_000_000_000)
            self._teller.publish(message)

    def wait_delivered(self, timeout_s: float) -> bool:
        """Wait until reliable subscribers have acknowledged everything; return whether they have."""
        return all(s.wait_for_all_acked(Duration(seconds=timeout_s)) for s in self._senders.values())


def _own_name(topic: str, stream: str) -> str:
    """Return the topic on which the node looks for a stream."""
    last = topic.rsplit("/", 1)[-1]
    transport = f"/{last}" if stream in ("image", "depth") and last in ("compressed", "compressedDepth") else ""
    return f"/{stream}" if stream.startswith("tf") else stream + transport
