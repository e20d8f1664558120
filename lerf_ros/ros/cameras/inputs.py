# SPDX-License-Identifier: Apache-2.0
"""Subscriptions of the cameras: match image, camera info and depth of each, and hand them to the mapping loop."""

import time
from collections import Counter
from collections.abc import Mapping
from functools import partial

from rclpy.event_handler import QoSMessageLostInfo, QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from lerf_ros.config import Config, InputConfig
from lerf_ros.errors import MappingStoppedError
from lerf_ros.ros.cameras.frame import Picture
from lerf_ros.ros.cameras.streams import CameraStreams, Topic, check_topics
from lerf_ros.ros.outputs.look import CameraLook
from lerf_ros.ros.site import Site


def camera_qos(config: InputConfig) -> QoSProfile:
    """Return the QoS of subscriptions to cameras (and to their poses)."""
    return QoSProfile(
        depth=config.queue_depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy[config.reliability.upper()],
    )


class CameraInputs:
    """The part that receives images. Its callbacks match messages and enqueue them, nothing else.

    Raises:
        ConfigError: two cameras name one topic.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._config = config = site.settings.now.input
        self._cameras = [CameraStreams(name, config) for name in config.camera_names]
        check_topics(self._cameras, site.node)
        self._subscriptions: list[Subscription] = []
        site.settings.watch(self._follow)
        self._since = time.monotonic()

    @property
    def unmatched(self) -> Mapping[str, int]:
        """Images dropped because something of theirs did not come, by cause."""
        dropped: Counter[str] = Counter()
        for camera in self._cameras:
            dropped.update(camera.matcher.dropped)
        return dropped

    def rates(self) -> dict[str, float]:
        """Return how many images a second each camera has sent lately, by its name (empty: the only one)."""
        return {camera.camera: camera.rate.hz() for camera in self._cameras}

    def looks(self) -> tuple[CameraLook, ...]:
        """Return how each camera is doing: what is said of it in diagnostics."""
        since_s = time.monotonic() - self._since
        looks = []
        for camera in self._cameras:
            silent_s, topic = camera.rate.silent_s(), camera.topics(self._site.node)[0].name
            looks.append(
                CameraLook(
                    camera.camera, self._site.node.resolve_topic_name(topic), camera.rate.hz(),
                    since_s if silent_s is None else silent_s, silent_s is not None,
                )
            )  # fmt: skip
        return tuple(looks)

    def look(self) -> None:
        """Tell the self-check how matching goes."""
        for camera in self._cameras:
            matcher = camera.matcher
            missed = {f"{camera.camera}/{name}".lstrip("/"): ns for name, ns in matcher.closest_miss_ns.items()}
            self._site.check.unmatched(sum(matcher.dropped.values()), matcher.matched, missed, camera.camera)

    def activate(self) -> None:
        """Subscribe."""
        self._since = time.monotonic()
        for camera in self._cameras:
            for topic in camera.topics(self._site.node):
                self._subscriptions.append(self._subscribe(camera, topic))

    def deactivate(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._site.node.destroy_subscription(subscription)
        self._subscriptions.clear()
        for camera in self._cameras:
            camera.clear()
            self._site.check.nothing_expected(sum(camera.matcher.dropped.values()), camera.camera)

    def close(self) -> None:
        """Nothing is left of an inactive one."""

    def _follow(self, config: Config) -> None:
        """Match by the slop that is asked for now."""
        for camera in self._cameras:
            camera.matcher.slop_ns = int(config.input.sync_slop_s * 1e9)

    def _subscribe(self, camera: CameraStreams, topic: Topic) -> Subscription:
        events = SubscriptionEventCallbacks(
            incompatible_qos=partial(self._on_qos_mismatch, camera.camera, topic.name),
            message_lost=partial(self._on_lost, topic.stream),
        )
        receive = partial(self._on_message, camera, topic.stream)
        return self._site.node.create_subscription(
            topic.kind, topic.name, receive, camera_qos(self._config), event_callbacks=events
        )

    def _on_qos_mismatch(self, camera: str, topic: str, event: QoSRequestedIncompatibleQoSInfo) -> None:
        name = self._site.node.resolve_topic_name(topic)
        self._site.check.qos_mismatch(name, QoSPolicyKind(event.last_policy_kind).name, camera)

    def _on_lost(self, stream: str, event: QoSMessageLostInfo) -> None:
        self._site.loop.drop(f"{stream}_lost", event.total_count_change)

    def _on_message(self, camera: CameraStreams, stream: str, message: Picture | CameraInfo) -> None:
        begin = time.perf_counter()
        for frame in camera.take(stream, message):
            try:
                self._site.loop.submit(frame)
            except MappingStoppedError:
                self._site.loop.drop("mapping_stopped")
        self._site.loop.received_in(time.perf_counter() - begin)
