# SPDX-License-Identifier: Apache-2.0
"""What `ros2 lifecycle` and `ros2 param` do, for tests: the standard services of a node in another process."""

from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from ros_processes import Program, wait_until

from lerf_ros.ros.running import spin_until_done

CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = (
    Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP, Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE,
)  # fmt: skip
SHUTDOWN = {
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}
TIMEOUT_S = 60.0


class Manager(Node):
    """Asks one node, e.g. "/lerf"."""

    def __init__(self, node: str = "/lerf") -> None:
        super().__init__("manager")
        self.target = node
        self._kinds = {
            "change_state": ChangeState, "get_state": GetState, "set_parameters": SetParameters,
            "set_parameters_atomically": SetParametersAtomically, "get_parameters": GetParameters,
            "list_parameters": ListParameters, "describe_parameters": DescribeParameters,
        }  # fmt: skip
        self._asking = {name: self.create_client(kind, f"{node}/{name}") for name, kind in self._kinds.items()}

    def wait_ready(self, program: Program) -> None:
        """Wait for all services of the node that `program` runs."""
        for name, client in self._asking.items():
            wait_until(lambda c=client: c.wait_for_service(0.5) or not program.alive, f"{self.target}/{name}", 60)
        assert program.alive, program.output

    def call(self, name: str, **fields: object) -> Any:
        future = self._asking[name].call_async(self._kinds[name].Request(**fields))
        assert spin_until_done(self, future, TIMEOUT_S), f"{name} gave no answer within {TIMEOUT_S} s"
        return future.result()

    def change(self, transition: int, label: str = "") -> bool:
        return bool(self.call("change_state", transition=Transition(id=transition, label=label)).success)

    def state(self) -> str:
        return str(self.call("get_state").current_state.label)

    def set(self, name: str, value: Any = None, kind: Parameter.Type | None = None) -> SetParametersResult:
        """As `ros2 param set`; an unknown name is a refusal as well."""
        message = Parameter(name, kind, value).to_parameter_msg()
        return self.call("set_parameters", parameters=[message]).results[0]

    def set_together(self, values: dict[str, Any]) -> SetParametersResult:
        messages = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        return self.call("set_parameters_atomically", parameters=messages).result

    def get(self, *names: str) -> list[Any]:
        values = self.call("get_parameters", names=list(names)).values
        return [parameter_value_to_python(value) for value in values]

    def names(self) -> list[str]:
        return list(self.call("list_parameters").result.names)

    def describe(self, *names: str) -> list[ParameterDescriptor]:
        return list(self.call("describe_parameters", names=list(names)).descriptors)


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def files(pid: int) -> int:
    """Return how many file descriptors a process holds."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, 10^6 bytes."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6
