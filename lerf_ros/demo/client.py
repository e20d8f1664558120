# SPDX-License-Identifier: Apache-2.0
"""What the demonstration sees and asks, through ROS alone."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from jaxtyping import Float64, UInt8
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from lerf_ros.core.geometry import pose_matrix
from lerf_ros.demo.processes import REMAPS
from lerf_ros.msg import GraspTarget, Status
from lerf_ros.ros.running import spin_until_done
from lerf_ros.srv import ExecuteGrasp, Query


class DemoClient(Node):
    """Subscriptions to what a person would watch, and clients of the services a person would call."""

    def __init__(self) -> None:
        super().__init__("lerf_demo")
        self.status = Status()
        self.image: Image | None = None
        self.info: CameraInfo | None = None
        self.joints: JointState | None = None
        self.first_image_s: float | None = None
        self.objects: dict[str, Float64[np.ndarray, "4 4"]] = {}
        self.on_truth: Callable[[], None] = lambda: None
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)  # type: ignore[no-untyped-call]
        self.create_subscription(Status, "/lerf/status", self._on_status, reliable)
        self.create_subscription(Image, REMAPS["image"], self._on_image, qos_profile_sensor_data)
        self.create_subscription(CameraInfo, REMAPS["camera_info"], self._on_info, qos_profile_sensor_data)
        self.create_subscription(JointState, "/joint_states", self._on_joints, reliable)
        self.create_subscription(TFMessage, "/sim_robot/ground_truth", self._on_truth, reliable)
        self._query = self.create_client(Query, "/lerf/query")
        self._scan = self.create_client(Trigger, "/sim_robot/scan")
        self._grasp = self.create_client(ExecuteGrasp, "/sim_robot/execute_grasp")

    def wait_ready(self, timeout_s: float, check: Callable[[], None]) -> None:
        """Wait until the robot's services are there and an image has come.

        Raises:
            TimeoutError: names what is missing.
        """
        clients = {"/sim_robot/scan": self._scan, "/sim_robot/execute_grasp": self._grasp}

        def missing() -> list[str]:
            absent = [name for name, client in clients.items() if not client.service_is_ready()]
            return absent + ([] if self.image is not None else [REMAPS["image"]])

        self._wait_while(missing, timeout_s, check)

    def wait_node(self, timeout_s: float, check: Callable[[], None]) -> None:
        """Wait until the node takes questions.

        Raises:
            TimeoutError: it does not.
        """
        self._wait_while(lambda: [] if self._query.service_is_ready() else ["/lerf/query"], timeout_s, check)

    def _wait_while(self, missing: Callable[[], list[str]], timeout_s: float, check: Callable[[], None]) -> None:
        deadline = time.monotonic() + timeout_s
        while missing():
            check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout_s:g} s still missing: {', '.join(missing())}")
            rclpy.spin_once(self, timeout_sec=0.1)

    def scan(self) -> Future:
        """Start the scan; the future ends with it."""
        return self._scan.call_async(Trigger.Request())

    def ask(self, phrases: Sequence[str], timeout_s: float = 30.0, **fields: Any) -> Query.Response:
        """Ask the node.

        Raises:
            TimeoutError: no answer.
        """
        request = Query.Request(prompts=list(phrases), **fields)
        answer: Query.Response = self.wait(self._query.call_async(request), timeout_s, f"a query for {list(phrases)}")
        return answer

    def grasp(
        self, target: GraspTarget, lift_m: float, hold_s: float, timeout_s: float = 90.0
    ) -> ExecuteGrasp.Response:
        """Have the arm take a target, lift and hold it.

        Raises:
            TimeoutError: no answer.
        """
        request = ExecuteGrasp.Request(target=target, lift_m=lift_m, hold_s=hold_s)
        done: ExecuteGrasp.Response = self.wait(self._grasp.call_async(request), timeout_s, "the grasp")
        return done

    def wait(self, future: Future, timeout_s: float, what: str) -> Any:
        """Spin until the future is done.

        Raises:
            TimeoutError: it is not, in time.
        """
        if not spin_until_done(self, future, timeout_s):
            raise TimeoutError(f"{what}: no answer within {timeout_s:g} s")
        return future.result()  # type: ignore[no-untyped-call]

    def _on_status(self, message: Status) -> None:
        self.status = message

    def _on_image(self, message: Image) -> None:
        if self.first_image_s is None:
            self.first_image_s = time.monotonic()
        self.image = message

    def _on_info(self, message: CameraInfo) -> None:
        self.info = message

    def _on_joints(self, message: JointState) -> None:
        self.joints = message

    def _on_truth(self, message: TFMessage) -> None:
        self.objects = {each.child_frame_id: _matrix(each) for each in message.transforms}
        self.on_truth()

    def rgb(self) -> UInt8[np.ndarray, "H W 3"]:
        """Return the newest camera image."""
        if self.image is None:
            raise RuntimeError("no camera image has come yet")
        pixels = np.frombuffer(self.image.data, np.uint8)
        return pixels.reshape(self.image.height, self.image.step // 3, 3)[:, : self.image.width].copy()


def _matrix(transform: TransformStamped) -> Float64[np.ndarray, "4 4"]:
    p, q = transform.transform.translation, transform.transform.rotation
    return pose_matrix(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))
