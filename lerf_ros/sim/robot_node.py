# SPDX-License-Identifier: Apache-2.0
"""Node `sim_robot`: the simulated arm, seen through the topics and services that a real arm's drivers have.

python -m lerf_ros.sim.robot_node --ros-args -p seed:=3
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final

import numpy as np
import rclpy
from jaxtyping import Float64
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from lerf_ros.errors import LerfError
from lerf_ros.ros.log_bridge import install
from lerf_ros.ros.running import RCLError, run_program
from lerf_ros.sim import hands, messages
from lerf_ros.sim.arm import Arm, Outcome, Program, home_program
from lerf_ros.sim.arm_model import LINKS
from lerf_ros.sim.camera import RenderedFrame
from lerf_ros.sim.camera_topics import SCENE_CAMERA_FRAME, SCENE_VIEW, CameraTopics
from lerf_ros.sim.grasping import DEFAULT_APPROACH_M, grasp_program
from lerf_ros.sim.kinematics import fixed_frames
from lerf_ros.sim.scan import look_program, scan_program
from lerf_ros.sim.simulation import RobotState, Simulation
from lerf_ros.sim.spec import sample_spec
from lerf_ros.sim.urdf import robot_description
from lerf_ros.srv import ExecuteGrasp, LookFrom, MoveObject

_RELIABLE: Final = QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
_LATCHED: Final = QoSProfile(
    depth=1,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_COMMAND_S: Final = 180.0
_POLL_S: Final = 0.1
_LIMITS: Final = {
    "target.width_m": (0.0, 0.08),
    "target.pregrasp_distance_m": (0.0, 0.3),
    "lift_m": (0.0, 0.4),
    "hold_s": (0.0, 60.0),
}


class SimRobot(Node):
    """Publishes camera, transforms and joint states; serves scan, execute_grasp and home."""

    def __init__(self) -> None:
        super().__init__("sim_robot")
        install(self.get_logger())
        seed = self._integer("seed", 0, "Scene: decides objects, table and light", 0, 2**31 - 1)
        count = self._integer("objects", 6, "Objects on the table (fewer if there is no room)", 1, 12)
        camera_hz = self._number("camera_hz", 5.0, "Camera frames a second", 0.2, 30.0)
        state_hz = self._number("state_hz", 80.0, "Transforms and joint states a second", 10.0, 250.0)
        compressed = self._switch("compressed", "Publish images compressed, as image_transport does, instead of raw")
        watched = self._switch("scene_camera", "Also publish a camera on a stand beside the table, /scene_camera/...")
        self._wrist = CameraTopics(self, "wrist_camera", messages.CAMERA_FRAME, compressed, self._send)
        self._scene = (
            CameraTopics(self, "scene_camera", SCENE_CAMERA_FRAME, compressed, self._send) if watched else None
        )
        self._tf = self.create_publisher(TFMessage, "/tf", _RELIABLE)
        self._tf_static = self.create_publisher(TFMessage, "/tf_static", _LATCHED)
        self._description = self.create_publisher(String, "/robot_description", _LATCHED)
        self._joints = self.create_publisher(JointState, "/joint_states", _RELIABLE)
        self._truth = self.create_publisher(TFMessage, "~/ground_truth", _RELIABLE)
        self._closing = threading.Event()
        spec = sample_spec(seed, n_objects=count)
        view = SCENE_VIEW if watched else None
        self._simulation = Simulation(spec, self, camera_hz=camera_hz, state_hz=state_hz, scene_view=view)
        self._simulation.start()
        self._publish_static()
        group = ReentrantCallbackGroup()
        self.create_service(Trigger, "~/scan", self._on_scan, callback_group=group)
        self.create_service(Trigger, "~/home", self._on_home, callback_group=group)
        self.create_service(LookFrom, "~/look_from", self._on_look, callback_group=group)
        self.create_service(MoveObject, "~/move_object", self._on_move, callback_group=group)
        self.create_service(ExecuteGrasp, "~/execute_grasp", self._on_grasp, callback_group=group)
        self.create_timer(1.0, self._watch, callback_group=group)
        names = ", ".join(o.name for o in spec.objects)
        self.get_logger().info(f"scene {seed}: {names} on a {spec.table} table")

    def _integer(self, name: str, default: int, text: str, low: int, high: int) -> int:
        span = IntegerRange(from_value=low, to_value=high, step=1)
        descriptor = ParameterDescriptor(description=text, integer_range=[span], read_only=True)
        return int(self.declare_parameter(name, default, descriptor).value)

    def _number(self, name: str, default: float, text: str, low: float, high: float) -> float:
        span = FloatingPointRange(from_value=low, to_value=high)
        descriptor = ParameterDescriptor(description=text, floating_point_range=[span], read_only=True)
        return float(self.declare_parameter(name, default, descriptor).value)

    def _switch(self, name: str, text: str) -> bool:
        return bool(self.declare_parameter(name, False, ParameterDescriptor(description=text, read_only=True)).value)

    def _publish_static(self) -> None:
        stamp = self.stamp()
        T_link6_cam, T_link6_tcp = fixed_frames()
        camera = messages.transform(LINKS[-1], messages.CAMERA_FRAME, T_link6_cam, stamp)
        tcp = messages.transform(LINKS[-1], messages.TCP_FRAME, T_link6_tcp, stamp)
        stand = messages.transform(messages.BASE_FRAME, SCENE_CAMERA_FRAME, SCENE_VIEW, stamp)
        self._tf_static.publish(TFMessage(transforms=[camera, tcp, *([stand] if self._scene else [])]))
        self._description.publish(String(data=robot_description()))

    def stamp(self) -> int:
        """Nanoseconds of the node's clock."""
        return int(self.get_clock().now().nanoseconds)

    def state(self, state: RobotState, stamp_ns: int) -> None:
        """Publishes /tf and /joint_states. Called by the simulation's thread."""
        if self._closing.is_set():
            return
        transforms = messages.link_transforms(state, stamp_ns) + messages.finger_transforms(state, stamp_ns)
        self._send(self._tf, TFMessage(transforms=transforms))
        self._send(self._joints, messages.joint_state(state, stamp_ns))

    def frame(self, frame: RenderedFrame, truth: dict[str, Float64[np.ndarray, "4 4"]], stamp_ns: int) -> None:
        """Publishes one RGB-D frame and the objects' true poses. Called by the simulation's thread."""
        if self._closing.is_set():
            return
        self._wrist.publish(frame, stamp_ns)
        self._send(self._truth, TFMessage(transforms=messages.object_transforms(truth, stamp_ns)))

    def scene_frame(self, frame: RenderedFrame, stamp_ns: int) -> None:
        """Publishes one RGB-D frame of the camera on the stand. Called by the simulation's thread."""
        if self._scene is not None and not self._closing.is_set():
            self._scene.publish(frame, stamp_ns)

    def _send(self, publisher: Publisher, message: Any) -> None:
        try:
            publisher.publish(message)
        except RCLError:
            if self.context.ok():
                raise  # else a signal has ended ROS between two messages

    def _watch(self) -> None:
        if self._simulation.fault and not self._closing.is_set():
            self.get_logger().fatal(f"the simulation stopped: {self._simulation.fault}")
            rclpy.try_shutdown()

    def _perform(self, make: Callable[[Arm], Program]) -> Outcome:
        """Hands a program to the simulation and waits for its outcome."""
        return self._result(self._simulation.submit(make))

    def _result(self, future: "Future[Outcome]") -> Outcome:
        """Waits for an outcome, at most `_COMMAND_S` and while ROS runs."""
        deadline = time.monotonic() + _COMMAND_S
        while rclpy.ok() and time.monotonic() < deadline:
            try:
                return future.result(_POLL_S)
            except FutureTimeoutError:
                if self._simulation.fault:
                    return Outcome(False, f"the simulation stopped: {self._simulation.fault}")
        return Outcome(False, f"not finished after {_COMMAND_S:.0f} s" if rclpy.ok() else "shutting down")

    def _trigger(self, response: Trigger.Response, outcome: Outcome) -> Trigger.Response:
        response.success, response.message = outcome.success, outcome.message
        return response

    def _on_scan(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._trigger(response, self._perform(scan_program))

    def _on_home(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._trigger(response, self._perform(lambda _: home_program()))

    def _on_look(self, request: LookFrom.Request, response: LookFrom.Response) -> LookFrom.Response:
        try:
            frame = request.pose.header.frame_id
            if frame != messages.BASE_FRAME:
                outcome = Outcome(False, f"refused: the pose is in {frame!r}, the arm takes {messages.BASE_FRAME!r}")
            else:
                pose = messages.matrix_of_pose(request.pose.pose)
                outcome = self._perform(lambda arm: look_program(arm, pose))
        except LerfError as error:
            outcome = Outcome(False, f"refused: {error}")
        response.success, response.message = outcome.success, outcome.message
        return response

    def _on_move(self, request: MoveObject.Request, response: MoveObject.Response) -> MoveObject.Response:
        name, x, y, yaw = request.name, float(request.x), float(request.y), float(request.yaw_rad)
        deed = (lambda scene: hands.remove(scene, name)) if request.remove else (
            lambda scene: hands.move(scene, name, x, y, yaw))
        outcome = self._result(self._simulation.meddle(deed))
        response.success, response.message = outcome.success, outcome.message
        return response

    def _on_grasp(self, request: ExecuteGrasp.Request, response: ExecuteGrasp.Response) -> ExecuteGrasp.Response:
        try:
            outcome = self._grasp(request)
        except LerfError as error:
            outcome = Outcome(False, f"refused: {error}")
        response.success, response.message = outcome.success, outcome.message
        response.width_m = outcome.held_opening_m
        return response

    def _grasp(self, request: ExecuteGrasp.Request) -> Outcome:
        target = request.target
        if target.header.frame_id != messages.BASE_FRAME:
            frame = target.header.frame_id
            return Outcome(False, f"refused: the target is in {frame!r}, the arm takes {messages.BASE_FRAME!r}")
        given = (target.width_m, target.pregrasp_distance_m, request.lift_m, request.hold_s)
        wrong = messages.out_of_range(dict(zip(_LIMITS, map(float, given), strict=True)), _LIMITS)
        if wrong:
            return Outcome(False, f"refused: {wrong}")
        pose = messages.matrix_of_pose(target.pose)
        opening, approach, lift, hold = (
            float(v) or default for v, default in zip(given, (0.08, DEFAULT_APPROACH_M, 0.12, 2.0), strict=True)
        )
        return self._perform(
            lambda arm: grasp_program(arm, pose, opening, approach_m=approach, lift_m=lift, hold_s=hold)
        )

    def close(self) -> bool:
        """Stops the simulation; returns whether its thread ended."""
        self._closing.set()
        return self._simulation.close()


def main(args: Sequence[str] | None = None) -> int:
    """Runs the robot until SIGINT or SIGTERM; returns the exit code."""
    return run_program("sim_robot", SimRobot, SimRobot.close, (RuntimeError,), args, threads=4)


if __name__ == "__main__":
    sys.exit(main())
