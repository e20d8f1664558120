# SPDX-License-Identifier: Apache-2.0
"""A camera, a transform tree and a query client in one node, for tests of the node `lerf` in its own process."""

from collections.abc import Mapping

import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from ros_processes import wait_until
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool
from tf2_msgs.msg import TFMessage

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.msg import Status
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.poses.listeners import DYNAMIC, STATIC
from lerf_ros.ros.running import spin_until_done
from lerf_ros.srv import Query

CAMERA = "wrist_optical_frame"
INTRINSICS = Intrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)
DEPTH_M = 0.6


def looking_down(x: float, y: float, camera: str = CAMERA) -> TransformStamped:
    """Camera 0.6 m above the floor z = 0, looking straight down: x right, y towards -y of the world."""
    message = TransformStamped(child_frame_id=camera)
    message.header.frame_id = "base_link"
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = x, y, DEPTH_M
    q.x, q.y, q.z, q.w = 1.0, 0.0, 0.0, 0.0
    return message


class LerfClient(Node):
    """Publishes frames of a checkered floor and asks questions, all in one namespace."""

    def __init__(self, namespace: str = "", camera: str = "") -> None:
        super().__init__("client", namespace=namespace)
        qos = QoSProfile(depth=20)
        self.frame = f"{camera}_optical_frame" if camera else CAMERA
        topics = f"{camera}/" if camera else ""
        self.image = self.create_publisher(Image, f"{topics}image", qos)
        self.info = self.create_publisher(CameraInfo, f"{topics}camera_info", qos)
        self.depth = self.create_publisher(Image, f"{topics}depth", qos)
        self.tf = self.create_publisher(TFMessage, "/tf", DYNAMIC)
        self.tf_static = self.create_publisher(TFMessage, "/tf_static", STATIC)
        self.query_client = self.create_client(Query, "lerf/query")
        self.training_client = self.create_client(SetBool, "lerf/set_training")
        self.status = Status()
        self.create_subscription(Status, "lerf/status", self._on_status, 1)
        self._fresh = False

    def _on_status(self, status: Status) -> None:
        self.status = status
        self._fresh = True

    def wait_ready(self) -> None:
        """Wait for the node's service, status and subscriptions."""
        wait_until(lambda: self.query_client.wait_for_service(0.5), "the service", 40)
        publishers = (self.image, self.info, self.depth, self.tf, self.tf_static)
        wait_until(
            lambda: self._spin() and all(p.get_subscription_count() for p in publishers), "the node's subscriptions"
        )
        self.next_status()

    def next_status(self) -> Status:
        """Return a status that was published after this call, spinning for it."""
        self._fresh = False
        wait_until(lambda: self._spin() and self._fresh, "a status")
        return self.status

    def now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def drops(self) -> Mapping[str, int]:
        """Return the drop counters of the last status."""
        return dict(zip(self.status.drop_causes, self.status.drop_counts, strict=True))

    def ask(self, request: Query.Request | None = None, **fields: object) -> Query.Response:
        """Return the answer of `~/query`."""
        return self._result(self.query_client.call_async(request or Query.Request(**fields)))

    def set_training(self, enabled: bool) -> SetBool.Response:
        """Return the answer of `~/set_training`."""
        return self._result(self.training_client.call_async(SetBool.Request(data=enabled)))

    def _result(self, future: Future) -> object:
        spin_until_done(self, future, 20)
        assert future.done(), "no answer within 20 s"
        return future.result()

    def send_pose(self, x: float, y: float, stamp_ns: int) -> None:
        message = looking_down(x, y, self.frame)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        self.tf.publish(TFMessage(transforms=[message]))

    def send_frame(
        self,
        x: float = 0.0,
        y: float = 0.0,
        stamp_ns: int | None = None,
        image: Image | None = None,
        info: CameraInfo | None = None,
        depth: Image | None = None,
    ) -> None:
        """Publish one frame with its pose; what is given replaces the good message (its stamp is set here)."""
        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        self.send_pose(x, y, stamp_ns)
        info = info or info_from_intrinsics(INTRINSICS, self.frame, 0)
        depth = depth or image_from_depth(np.full((48, 64), DEPTH_M, np.float32), self.frame, 0)
        image = image or image_from_rgb(floor(x, y), self.frame, 0)
        for publisher, message in ((self.info, info), (self.depth, depth), (self.image, image)):
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
            publisher.publish(message)

    def _spin(self) -> bool:
        rclpy.spin_once(self, timeout_sec=0.1)
        return True


def floor(x: float, y: float) -> np.ndarray:
    """Return what the camera of `looking_down` sees: 5 cm squares, red and blue."""
    columns, rows = np.meshgrid(np.arange(64), np.arange(48))
    world_x = x + (columns - INTRINSICS.cx) / INTRINSICS.fx * DEPTH_M
    world_y = y - (rows - INTRINSICS.cy) / INTRINSICS.fy * DEPTH_M
    red = (np.floor(world_x / 0.05) + np.floor(world_y / 0.05)) % 2 == 0
    return np.where(red[..., None], np.array([200, 30, 30], np.uint8), np.array([30, 30, 200], np.uint8))
