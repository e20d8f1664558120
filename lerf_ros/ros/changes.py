# SPDX-License-Identifier: Apache-2.0
"""What happens when somebody sets parameters of the running node: refused with a reason, or in force at once."""

import difflib
from collections.abc import Callable, Sequence

from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter

from lerf_ros.config import Config, from_flat, get, options
from lerf_ros.errors import ConfigError
from lerf_ros.options import Option
from lerf_ros.ros.params import ARRAYS, value_of

LISTS = (*ARRAYS.values(), Parameter.Type.BYTE_ARRAY, Parameter.Type.BOOL_ARRAY, Parameter.Type.INTEGER_ARRAY)


class UnknownParameter(ParameterNotDeclaredException):
    """Somebody sets a parameter that there is not; rclpy answers its caller with the text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name)
        self.args = (text,)


class ParameterChanges:
    """Watches over the parameters of a node from now on.

    Those set at one go are checked together with all others, and take effect together or not at all.

    Args:
        node: has declared its parameters.
        config: what they hold.
        configured: whether the node is configured now.
        changed: told of each new configuration, after it was accepted.
    """

    def __init__(
        self, node: Node, config: Config, configured: Callable[[], bool], changed: Callable[[Config], None]
    ) -> None:
        self.config = config
        self._node = node
        self._configured = configured
        self._changed = changed
        self._options = {opt.key: opt for opt in options()}
        node.add_pre_set_parameters_callback(self._converted)
        node.add_on_set_parameters_callback(self._judge)
        node.add_post_set_parameters_callback(self._apply)

    def _converted(self, given: Sequence[Parameter]) -> list[Parameter]:
        """Return `given` with 3 as 3.0 where that is asked for, and `[]` as an empty list of the right type.

        Raises:
            UnknownParameter: one is not there.
        """
        for each in given:
            if not self._node.has_parameter(each.name):
                near = difflib.get_close_matches(each.name, self._options, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UnknownParameter(each.name, f"unknown parameter {each.name!r}{hint}")
        return [_converted(self._options[p.name], p) if p.name in self._options else p for p in given]

    def _judge(self, wanted: Sequence[Parameter]) -> SetParametersResult:
        ours = [each for each in wanted if each.name in self._options]
        try:
            config = self._with(ours)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        for each in ours:
            when = self._options[each.name].when
            if when == "unconfigured" and self._configured() and get(config, each.name) != get(self.config, each.name):
                name = self._node.get_fully_qualified_name()
                return SetParametersResult(
                    successful=False,
                    reason=f"{each.name} may change only while the node is unconfigured: "
                    f"`ros2 lifecycle set {name} cleanup` (from active: `deactivate` first; the map is lost, save it), "
                    "set the parameter, then `configure` and `activate`",
                )
        return SetParametersResult(successful=True)

    def _apply(self, accepted: Sequence[Parameter]) -> None:
        ours = [each for each in accepted if each.name in self._options]
        config = self._with(ours)
        if config != self.config:
            self.config = config
            self._changed(config)

    def _with(self, ours: Sequence[Parameter]) -> Config:
        return from_flat({each.name: value_of(each) for each in ours}, self.config)


def _converted(opt: Option, given: Parameter) -> Parameter:
    if opt.type is float and given.type_ == Parameter.Type.INTEGER:
        return Parameter(given.name, value=float(given.value))
    if opt.type is tuple and given.type_ in LISTS:
        if not given.value:  # what writes [] does not know of what
            return Parameter(given.name, ARRAYS[opt.element], [])
        if opt.element is float and given.type_ == Parameter.Type.INTEGER_ARRAY:
            return Parameter(given.name, ARRAYS[float], [float(v) for v in given.value])
    return given
