# SPDX-License-Identifier: Apache-2.0
"""Subscriptions of the self-filter: the robot's description and masks. Callbacks store messages, nothing else."""

from functools import partial

from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import String

from lerf_ros.ros.cameras.ingest import nanoseconds
from lerf_ros.ros.cameras.inputs import camera_qos
from lerf_ros.ros.cameras.self_filter import DESCRIPTION
from lerf_ros.ros.outputs.topic import LATCHED
from lerf_ros.ros.site import Site


class RobotInputs:
    """The part that feeds the self-filter."""

    def __init__(self, site: Site) -> None:
        self._node = site.node
        self._config = site.settings.now.input
        self._filter = site.ingest.robot
        self._filter.offered = lambda topic: bool(site.node.count_publishers(site.node.resolve_topic_name(topic)))
        self._subscriptions: list[Subscription] = []

    def activate(self) -> None:
        """Subscribe to what `input.self_filter` names."""
        self._filter.begin()
        listen, source = self._node.create_subscription, self._config.self_filter
        if source in ("auto", "urdf") and not self._config.self_filter_urdf:
            self._subscriptions.append(listen(String, DESCRIPTION, self._on_description, LATCHED))
        if source in ("auto", "mask"):
            qos = camera_qos(self._config)
            for camera in self._config.camera_names:
                topic = self._filter.masks.topic(camera)
                self._subscriptions.append(listen(Image, topic, partial(self._on_mask, camera), qos))

    def deactivate(self) -> None:
        """Unsubscribe; what is known of the robot's shapes stays."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def close(self) -> None:
        """Nothing is left of an inactive one."""

    def _on_description(self, message: String) -> None:
        self._filter.descriptions.add(message.data)

    def _on_mask(self, camera: str, message: Image) -> None:
        self._filter.masks.add(camera, nanoseconds(message.header.stamp), message)
