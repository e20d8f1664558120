# SPDX-License-Identifier: Apache-2.0
"""Subscriptions of the camera: matches image, camera info and depth, and hands them to the mapping loop."""

import time
from collections.abc import Mapping
from functools import partial

from rclpy.event_handler import QoSMessageLostInfo, QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image

from lerf_ros.config import InputConfig
from lerf_ros.errors import MappingStoppedError
from lerf_ros.ros.cameras.ingest import Frame, nanoseconds
from lerf_ros.ros.cameras.sync import StampMatcher
from lerf_ros.ros.site import Site


def camera_qos(config: InputConfig) -> QoSProfile:
    """Return the QoS of subscriptions to cameras (and to their poses)."""
    return QoSProfile(
        depth=config.queue_depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy[config.reliability.upper()],
    )


class CameraInputs:
    """The part that receives images. Its callbacks match messages and enqueue them, nothing else."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._config = config = site.settings.now.input
        streams = ["camera_info", "depth"] if config.use_depth else ["camera_info"]
        self._matcher: StampMatcher[Image | CameraInfo] = StampMatcher(
            "image", streams, int(config.sync_slop_s * 1e9), config.queue_depth
        )
        self._subscriptions: list[Subscription] = []

    @property
    def unmatched(self) -> Mapping[str, int]:
        """Images dropped because something of theirs did not come, by cause."""
        return self._matcher.dropped

    def look(self) -> None:
        """Tell the self-check how matching goes."""
        matcher = self._matcher
        self._site.check.unmatched(sum(matcher.dropped.values()), matcher.matched, matcher.closest_miss_ns)

    def activate(self) -> None:
        """Subscribe."""
        topics = {"image": Image, "camera_info": CameraInfo} | ({"depth": Image} if self._config.use_depth else {})
        for name, kind in topics.items():
            events = SubscriptionEventCallbacks(
                incompatible_qos=partial(self._on_qos_mismatch, name),
                message_lost=partial(self._on_lost, name),
            )
            self._subscriptions.append(
                self._site.node.create_subscription(
                    kind, name, partial(self._on_message, name), camera_qos(self._config), event_callbacks=events
                )
            )

    def deactivate(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._site.node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def close(self) -> None:
        """Nothing is left of an inactive one."""

    def _on_qos_mismatch(self, topic: str, event: QoSRequestedIncompatibleQoSInfo) -> None:
        name = self._site.node.resolve_topic_name(topic)
        self._site.check.qos_mismatch(name, QoSPolicyKind(event.last_policy_kind).name)

    def _on_lost(self, topic: str, event: QoSMessageLostInfo) -> None:
        self._site.loop.drop(f"{topic}_lost", event.total_count_change)

    def _on_message(self, stream: str, message: Image | CameraInfo) -> None:
        begin = time.perf_counter()
        for parts in self._matcher.add(stream, nanoseconds(message.header.stamp), message):
            try:
                self._site.loop.submit(Frame(parts["image"], parts["camera_info"], parts.get("depth")))
            except MappingStoppedError:
                self._site.loop.drop("mapping_stopped")
        self._site.loop.received_in(time.perf_counter() - begin)
