# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from the configuration tree: one declaration a leaf, with its description and range."""

import sys
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from lerf_ros.config import Config, from_flat, options, to_flat
from lerf_ros.options import Option, Value

ROS_OWN = ("use_sim_time", "start_type_description_service")  # declared by rclpy itself
ROS_OWN_PREFIX = "qos_overrides."
ARRAYS = {float: Parameter.Type.DOUBLE_ARRAY, str: Parameter.Type.STRING_ARRAY}
MAY_CHANGE = {"any time": "may change at any time", "unconfigured": "may change while the node is unconfigured"}


def declare(node: Node) -> Config:
    """Return the configuration that the node was started with, and declare all of it.

    Raises:
        ConfigError: a given parameter is unknown, of the wrong type or out of range.
    """
    overrides: Mapping[str, Parameter] = node._parameter_overrides  # nothing else tells of what nobody declares
    config = from_flat(given_values(overrides.values()))
    flat = to_flat(config)
    for opt in options():
        made, value = parameter(opt, flat[opt.key]), flat[opt.key]
        given = made.type_ if value == () else made.value  # of an empty list rclpy would make bytes
        node.declare_parameter(opt.key, given, descriptor(opt), ignore_override=True)
        if value == ():
            node.set_parameters([made])
    return config


def given_values(parameters: Iterable[Parameter]) -> dict[str, object]:
    """Return what the user gave: without ROS's own parameters, arrays as lists. ROS reads `[]` as no value at all."""
    return {
        p.name: [] if p.value is None else list(p.value) if isinstance(p.value, (list, tuple, array)) else p.value
        for p in parameters
        if p.name not in ROS_OWN and not p.name.startswith(ROS_OWN_PREFIX)
    }


def parameter(opt: Option, value: Value) -> Parameter:
    """Return the ROS parameter of an option's value, of the option's type even where it is an empty list."""
    if isinstance(value, tuple):
        return Parameter(opt.key, ARRAYS[opt.element], list(value))
    return Parameter(opt.key, value=value)


def descriptor(opt: Option) -> ParameterDescriptor:
    """Return the descriptor of one option; its constraints tell choices, and when the value may change."""
    made = ParameterDescriptor(description=opt.help, read_only=opt.when == "start")
    constraints = [f"one of {', '.join(opt.choices)}"] if opt.choices else []
    if opt.type is float and (opt.ge is not None or opt.le is not None):
        low = -sys.float_info.max if opt.ge is None else opt.ge
        high = sys.float_info.max if opt.le is None else opt.le
        made.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)]
    elif opt.type is int and (opt.ge is not None or opt.le is not None):
        low = -(2**63) if opt.ge is None else opt.ge
        high = 2**63 - 1 if opt.le is None else opt.le
        made.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    elif opt.element is float and opt.ge is not None:
        constraints.append(f"each in [{opt.ge:g}, {opt.le:g}]")
    if opt.when in MAY_CHANGE:
        constraints.append(MAY_CHANGE[opt.when])
    made.additional_constraints = "; ".join(constraints)
    return made


def value_of(made: Parameter) -> Any:
    """Return a parameter's value, arrays as lists."""
    return list(made.value) if isinstance(made.value, (list, tuple, array)) else made.value
