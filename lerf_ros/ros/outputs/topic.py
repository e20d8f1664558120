# SPDX-License-Identifier: Apache-2.0
"""A topic that costs nothing while nobody listens, and gives who comes late the newest there is."""

from collections.abc import Hashable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

LATCHED = QoSProfile(
    depth=1,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Of all that is like a map (REP 2003)."""

STREAM = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
"""Of pictures: a reliable publisher is heard by both kinds of subscription."""


class Topic:
    """Used by the executor's thread, but for `publish`.

    Args:
        node: publishes.
        kind: of message.
        name: of the topic.
        qos: latched, if not said otherwise.
    """

    def __init__(self, node: Node, kind: type, name: str, qos: QoSProfile = LATCHED) -> None:
        self._node, self._kind, self._name, self._qos = node, kind, name, qos
        self._publisher = node.create_publisher(kind, name, qos)
        self._version: Hashable = None
        self._latched = False

    @property
    def name(self) -> str:
        """Resolved name."""
        return str(self._publisher.topic_name)

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._publisher.get_subscription_count())

    def due(self, version: Hashable) -> bool:
        """Return whether somebody listens and has not been sent `version`, which from now on counts as sent."""
        if version == self._version or not self.heard:
            return False
        self._version = version
        return True

    def withdraw(self, last_word: Any = None) -> None:
        """Take back what was published, after a last word to those who listen: who comes from now on gets nothing until
        there is another version.
        """
        if not self._latched:
            return
        if last_word is not None:
            self.publish(last_word)
        self._node.destroy_publisher(self._publisher)
        self._publisher = self._node.create_publisher(self._kind, self._name, self._qos)
        self._latched = False

    def publish(self, message: Any) -> None:
        """Publish, from any thread.

        Raises:
            InvalidHandle, RCLError: the topic has been closed meanwhile.
        """
        self._latched = True
        self._publisher.publish(message)

    def close(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._publisher)
