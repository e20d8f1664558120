# SPDX-License-Identifier: Apache-2.0
"""The node `sim_robot` in its own process, over real DDS."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_processes import Program, wait_until
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from lerf_ros.core.geometry import pose_matrix
from lerf_ros.sim.arm_model import LINKS
from lerf_ros.sim.messages import CAMERA_FRAME
from lerf_ros.sim.spec import sample_spec
from lerf_ros.srv import ExecuteGrasp, MoveObject

pytestmark = pytest.mark.ros
SEED = 3


class Listener(Node):
    """Remembers the last messages of every topic of the robot."""

    def __init__(self) -> None:
        super().__init__("robot_test")
        self.images: dict[int, Image] = {}
        self.depths: dict[int, Image] = {}
        self.info: CameraInfo | None = None
        self.truth: dict[str, np.ndarray] = {}
        self.chains: dict[int, list[Any]] = {}
        self.fixed: dict[str, np.ndarray] = {}
        self.joints: JointState | None = None
        listen = self.create_subscription
        listen(Image, "/wrist_camera/color/image_raw", lambda m: self.images.update({stamp(m): m}), 10)
        listen(Image, "/wrist_camera/depth/image_raw", lambda m: self.depths.update({stamp(m): m}), 10)
        listen(CameraInfo, "/wrist_camera/color/camera_info", lambda m: setattr(self, "info", m), 10)
        listen(JointState, "/joint_states", lambda m: setattr(self, "joints", m), 10)
        listen(TFMessage, "/tf", lambda m: self.chains.update({stamp(m.transforms[0]): m.transforms}), 100)
        listen(TFMessage, "/sim_robot/ground_truth", lambda m: self.truth.update(matrices(m)), 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        listen(TFMessage, "/tf_static", lambda m: self.fixed.update(matrices(m)), latched)
        self.scan = self.create_client(Trigger, "/sim_robot/scan")
        self.home = self.create_client(Trigger, "/sim_robot/home")
        self.grasp = self.create_client(ExecuteGrasp, "/sim_robot/execute_grasp")
        self.move = self.create_client(MoveObject, "/sim_robot/move_object")

    def spin_until(self, ready: Any, what: str, timeout_s: float = 30.0) -> None:
        def poll() -> bool:
            rclpy.spin_once(self, timeout_sec=0.1)
            return bool(ready())

        wait_until(poll, what, timeout_s)

    def call(self, client: Any, request: Any, timeout_s: float = 60.0) -> Any:
        future = client.call_async(request)
        self.spin_until(future.done, "an answer", timeout_s)
        return future.result()


def stamp(message: Any) -> int:
    return int(message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec)


def matrices(message: TFMessage) -> dict[str, np.ndarray]:
    found = {}
    for t in message.transforms:
        p, q = t.transform.translation, t.transform.rotation
        found[t.child_frame_id] = pose_matrix(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))
    return found


@pytest.fixture(scope="module")
def robot(ros: Path) -> Iterator[tuple[Program, Listener]]:
    command = [sys.executable, "-m", "lerf_ros.sim.robot_node", "--ros-args", "-p", f"seed:={SEED}"]
    listener = Listener()
    with Program(command, ros / "robot.log") as program:
        listener.spin_until(listener.grasp.service_is_ready, "the service execute_grasp")
        listener.spin_until(lambda: len(listener.images) > 2 and listener.fixed and listener.truth, "frames and poses")
        yield program, listener
        assert program.stop() == 0, program.output
        assert "Traceback" not in program.output
    listener.destroy_node()


def test_frames_come_with_depth_info_and_a_transform_of_the_same_stamp(robot: tuple[Program, Listener]) -> None:
    _, listener = robot
    listener.spin_until(lambda: set(listener.images) & set(listener.depths) & set(listener.chains), "one whole frame")
    both = max(set(listener.images) & set(listener.depths) & set(listener.chains))
    image, depth, info = listener.images[both], listener.depths[both], listener.info
    assert info is not None
    assert (image.encoding, depth.encoding, image.header.frame_id) == ("rgb8", "16UC1", CAMERA_FRAME)
    assert (image.width, image.height, depth.width, depth.height) == (640, 480, 640, 480)
    assert info.k[0] == pytest.approx(240 / math.tan(math.radians(26)))
    assert listener.joints is not None
    assert len(listener.joints.name) == 8


def test_the_camera_sees_each_object_where_transforms_and_truth_put_it(robot: tuple[Program, Listener]) -> None:
    _, listener = robot
    listener.spin_until(lambda: set(listener.depths) & set(listener.chains), "a depth image with its transforms")
    at = max(set(listener.depths) & set(listener.chains))
    T_base_cam = np.eye(4)
    for step in (t for t in listener.chains[at] if t.child_frame_id in LINKS):
        T_base_cam = T_base_cam @ matrices(TFMessage(transforms=[step]))[step.child_frame_id]
    T_base_cam = T_base_cam @ listener.fixed[CAMERA_FRAME]
    depth = np.frombuffer(listener.depths[at].data, "<u2").reshape(480, 640) / 1000
    assert listener.info is not None
    k = listener.info.k
    checked = 0
    for T_base_object in listener.truth.values():
        local = np.linalg.inv(T_base_cam) @ np.append(T_base_object[:3, 3], 1.0)
        u, v = (round(k[0] * local[i] / local[2] + c) for i, c in ((0, k[2]), (1, k[5])))
        if 0 <= u < 640 and 0 <= v < 480:
            assert -0.02 < local[2] - depth[v, u] < 0.25  # the object's origin is just below its visible surface
            checked += 1
    assert checked >= 2


def request(x: float, y: float, z: float, frame: str = "base_link") -> ExecuteGrasp.Request:
    asked = ExecuteGrasp.Request()
    asked.target.header.frame_id = frame
    position = asked.target.pose.position
    position.x, position.y, position.z = x, y, z
    asked.target.pose.orientation.x, asked.target.pose.orientation.w = 1.0, 0.0
    asked.hold_s = 0.5
    return asked


def test_bad_grasps_are_refused_with_the_reason(robot: tuple[Program, Listener]) -> None:
    _, listener = robot
    elsewhere = listener.call(listener.grasp, request(0.4, 0.0, 0.05, "map"))
    assert not elsewhere.success
    assert "'map'" in elsewhere.message
    no_number = listener.call(listener.grasp, request(math.nan, 0.0, 0.05))
    assert not no_number.success
    assert "NaN" in no_number.message
    too_wide = request(0.4, 0.0, 0.05)
    too_wide.target.width_m = 0.3
    assert "target.width_m" in listener.call(listener.grasp, too_wide).message
    too_far = listener.call(listener.grasp, request(1.5, 0.0, 0.05))
    assert "reach" in too_far.message


def test_a_grasp_lifts_the_object_and_a_command_meanwhile_is_refused(robot: tuple[Program, Listener]) -> None:
    _, listener = robot
    names = [o.name for o in sample_spec(SEED, n_objects=6).objects if o.category in ("apple", "ball", "can")]
    target = names[0]
    x, y, before = listener.truth[target][:3, 3]
    future = listener.grasp.call_async(request(float(x), float(y), 0.035))
    listener.spin_until(lambda: max(map(abs, listener.joints.velocity)) > 0.1, "the arm to move")
    meanwhile = listener.call(listener.home, Trigger.Request())
    assert "busy" in meanwhile.message
    listener.spin_until(future.done, "the grasp", 60.0)
    answer = future.result()
    assert answer.success, answer.message
    assert 0.05 < answer.width_m < 0.08
    listener.spin_until(lambda: listener.truth[target][2, 3] > before + 0.1, "the lifted object's pose")
    assert listener.call(listener.home, Trigger.Request()).success


def test_a_person_moves_a_thing_takes_it_away_and_brings_it_back(robot: tuple[Program, Listener]) -> None:
    _, listener = robot
    name = sample_spec(SEED, n_objects=6).objects[-1].name
    before = listener.truth[name][:3, 3].copy()
    refused = listener.call(listener.move, MoveObject.Request(name="unicorn", x=0.4))
    assert not refused.success
    assert name in refused.message  # it tells what there is
    assert not listener.call(listener.move, MoveObject.Request(name=name, x=5.0)).success
    assert listener.call(listener.move, MoveObject.Request(name=name, remove=True)).success
    listener.spin_until(lambda: np.linalg.norm(listener.truth[name][:3, 3]) > 20, "it to be away")
    x, y = float(before[0]), float(before[1])
    assert listener.call(listener.move, MoveObject.Request(name=name, x=x, y=y)).success
    listener.spin_until(lambda: np.linalg.norm(listener.truth[name][:2, 3] - (x, y)) < 0.01, "it to be back")


@pytest.mark.slow
def test_the_scan_is_answered_when_it_is_finished(robot: tuple[Program, Listener]) -> None:
    _, listener = robot
    answer = listener.call(listener.scan, Trigger.Request(), 120.0)
    assert answer.success
    assert "30 viewpoints" in answer.message
