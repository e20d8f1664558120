# SPDX-License-Identifier: Apache-2.0
"""What node and simulated robot really offer: asked of the ROS graph while both run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rclpy
from rcl_interfaces.srv import ListParameters
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_processes import wait_until
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from lerf_ros.ros.running import spin_until_done

NODES = ("lerf", "sim_robot")
OTHER = "/other"
FOUND_S = 60.0


@dataclass(frozen=True)
class Facts:
    """By node: topics with their types, parameters. By topic of `lerf`: whether reliable, whether it keeps its last
    messages for who comes later. And the frames of the robot's transforms and images."""

    published: Mapping[str, Mapping[str, str]]
    subscribed: Mapping[str, Mapping[str, str]]
    parameters: Mapping[str, frozenset[str]]
    reliable: Mapping[str, bool]
    kept: Mapping[str, bool]
    frames: frozenset[str]


class Surveyor(Node):
    """Waits until all nodes are active and have published, then tells what there is.

    Of the node `lerf` there are two, since which topics it takes depends on its parameters: one in the root namespace,
    one in OTHER.
    """

    def __init__(self, prompts: int) -> None:
        super().__init__("surveyor")
        self._prompts = prompts  # whose topics are to be there
        self.frames: set[str] = set()
        self.image_frame = ""
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(TFMessage, "/tf", self._on_transforms, 10)
        self.create_subscription(TFMessage, "/tf_static", self._on_transforms, latched)
        self.create_subscription(Image, "/wrist_camera/color/image_raw", self._on_image, 5)

    def _on_transforms(self, message: TFMessage) -> None:
        for transform in message.transforms:
            self.frames |= {transform.header.frame_id, transform.child_frame_id}

    def _on_image(self, message: Image) -> None:
        self.image_frame = message.header.frame_id

    def survey(self, alive: Callable[[], bool]) -> Facts:
        """Return what they offer; give up when they are not `alive`."""
        wait_until(
            lambda: self._all_are_active() or not alive(),
            "active nodes and a robot whose camera is in its transforms",
            FOUND_S,
        )
        assert alive(), "a program has ended"
        offered = self._topics_at("lerf", "/", "publisher")
        qos = {topic: info.qos_profile for topic in offered for info in self.get_publishers_info_by_topic(topic)}
        return Facts(
            published={name: self._topics_of(name, "publisher") for name in NODES},
            subscribed={name: self._topics_of(name, "subscriber") for name in NODES},
            parameters={name: self._parameters_of(name) for name in NODES},
            reliable={topic: each.reliability == ReliabilityPolicy.RELIABLE for topic, each in qos.items()},
            kept={topic: each.durability == DurabilityPolicy.TRANSIENT_LOCAL for topic, each in qos.items()},
            frames=frozenset(self.frames),
        )

    def _all_are_active(self) -> bool:
        rclpy.spin_once(self, timeout_sec=0.1)
        running = {*self.get_node_names_and_namespaces()} >= {*((name, "/") for name in NODES), ("lerf", OTHER)}
        if not running or self.image_frame not in self.frames:
            return False
        shown = [t for t in self._topics_at("lerf", "/", "publisher") if t.startswith("/lerf/relevancy/")]
        return len(shown) == self._prompts and all(
            "/image" in self._topics_at("lerf", where, "subscriber") for where in ("/", OTHER)
        )

    def _topics_of(self, node: str, kind: str) -> dict[str, str]:
        other = self._topics_at(node, OTHER, kind) if node == "lerf" else {}
        return other | self._topics_at(node, "/", kind)

    def _topics_at(self, node: str, namespace: str, kind: str) -> dict[str, str]:
        """Return topics with types, named as in the root namespace."""
        ask: Any = getattr(self, f"get_{kind}_names_and_types_by_node")
        return {topic.removeprefix(OTHER): types[0] for topic, types in ask(node, namespace)}

    def _parameters_of(self, node: str) -> frozenset[str]:
        client = self.create_client(ListParameters, f"/{node}/list_parameters")
        assert client.wait_for_service(15), f"{node} does not list its parameters"
        future = client.call_async(ListParameters.Request())
        spin_until_done(self, future, 15)
        self.destroy_client(client)
        return frozenset(future.result().result.names)
