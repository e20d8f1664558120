# SPDX-License-Identifier: Apache-2.0
"""What an integrator has on the other side of the topics: a client of everything the node offers."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue, SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_processes import Program
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import MarkerArray

from lerf_ros.demo.client import DemoClient
from lerf_ros.msg import QueryResult
from lerf_ros.srv import ForgetRegion, LoadMap, LookFrom, MoveObject, NextViews, Render, SaveMap

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ANSWER_S = 60.0
SETTLED_STEPS = 600


class Watcher(DemoClient):
    """Calls every service and keeps the last message of every topic by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, Any] = {}
        topics: dict[str, Any] = {
            "/lerf/cloud": PointCloud2, "/lerf/markers": MarkerArray, "/lerf/grasp_target": PoseStamped,
            "/lerf/relevancy/prompt_0": PointCloud2,
        }  # fmt: skip
        for name, kind in topics.items():
            self.create_subscription(kind, name, lambda m, name=name: self.last.update({name: m}), LATCHED)
        for name, kind in {"/diagnostics": DiagnosticArray, "/lerf/relevancy_image": Image}.items():
            self.create_subscription(kind, name, lambda m, name=name: self.last.update({name: m}), 10)
        self._asked: dict[str, Client] = {}
        self.kinds: dict[str, Any] = {
            "/lerf/render": Render, "/lerf/save_map": SaveMap, "/lerf/load_map": LoadMap, "/lerf/reset": Trigger,
            "/lerf/forget_region": ForgetRegion, "/lerf/set_training": SetBool, "/lerf/next_views": NextViews,
            "/lerf/change_state": ChangeState, "/lerf/get_state": GetState, "/lerf/set_parameters": SetParameters,
            "/sim_robot/look_from": LookFrom, "/sim_robot/move_object": MoveObject,
        }  # fmt: skip

    def call(self, name: str, /, **fields: Any) -> Any:
        """Call a service of the table, with a time-out."""
        kind = self.kinds[name]
        client = self._asked.get(name) or self._asked.setdefault(name, self.create_client(kind, name))
        assert client.wait_for_service(20.0), f"{name} is not offered"
        return self.wait(client.call_async(kind.Request(**fields)), ANSWER_S, name)

    def transit(self, transition: int) -> bool:
        """Ask for a lifecycle transition."""
        return bool(self.call("/lerf/change_state", transition=Transition(id=transition)).success)

    def state(self) -> int:
        """Return the lifecycle state (lifecycle_msgs/State)."""
        state: State = self.call("/lerf/get_state").current_state
        return int(state.id)

    def set_prompts(self, prompts: list[str]) -> SetParametersResult:
        """Set the standing prompts at run time."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=prompts)
        answer = self.call("/lerf/set_parameters", parameters=[Parameter(name="outputs.prompts", value=value)])
        return answer.results[0]

    def result(self, phrase: str, **fields: Any) -> QueryResult:
        """Return the answer to one phrase."""
        return self.ask([phrase], **fields).results[0]

    def spin_until(self, condition: Any, what: str, program: Program, timeout_s: float = 60.0) -> None:
        """Spin until a condition holds, while the node lives."""
        assert self.spins_until(lambda: bool(condition()), program, timeout_s), f"not within {timeout_s} s: {what}"

    def spins_until(self, condition: Callable[[], bool], program: Program, timeout_s: float) -> bool:
        """Spin until a condition holds or the time is over; return whether it does."""
        deadline = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline:
            rclpy.spin_once(self, timeout_sec=0.1)
            assert program.alive, program.output[-3000:]
        return condition()

    def scan_all(self, program: Program) -> None:
        """Let the arm look at the table from all sides."""
        done = self.scan()
        self.spin_until(done.done, "the scan", program, 180.0)
        assert done.result().success, done.result().message

    def settle(self, program: Program) -> None:
        """Let training go on for a while (or until it rests), and a snapshot of it be published."""
        enough = self.status.step + SETTLED_STEPS

        def settled() -> bool:
            now = self.status
            return now.snapshot_step >= enough or (now.training == "resting" and now.snapshot_step == now.step)

        self.spin_until(settled, f"{SETTLED_STEPS} more steps", program, 240.0)


def argmax_of(result: QueryResult) -> np.ndarray:
    """Return the best point, metres."""
    return np.array([result.argmax.x, result.argmax.y, result.argmax.z])


def log_tail(program: Program) -> str:
    """Return the end of a program's log."""
    return Path(program.log).read_text(errors="replace")[-3000:]
