# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from the configuration tree: one declaration a leaf, with its description and range."""

import sys
from collections.abc import Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from lerf_ros.config import Config, from_flat, options, to_flat
from lerf_ros.options import Option

ROS_OWN = ("use_sim_time", "start_type_description_service")  # declared by rclpy itself
ROS_OWN_PREFIX = "qos_overrides."


def declare(node: Node) -> Config:
    """Return the configuration that the node was started with, and declare all of it as read-only parameters.

    The node must have been made with `automatically_declare_parameters_from_overrides=True`: only so does ROS tell of
    parameters that nobody declares.

    Raises:
        ConfigError: a given parameter is unknown, of the wrong type or out of range.
    """
    parameters: Mapping[str, Any] = node.get_parameters_by_prefix("")  # of Parameter objects, whatever it is annotated
    given = given_values({name: p.value for name, p in parameters.items()})
    config = from_flat(given)
    for name in given:
        node.undeclare_parameter(name)
    flat = to_flat(config)
    for opt in options():
        value = flat[opt.key]
        node.declare_parameter(
            opt.key, list(value) if isinstance(value, tuple) else value, descriptor(opt), ignore_override=True
        )
    return config


def given_values(parameters: Mapping[str, Any]) -> dict[str, object]:
    """Return what the user gave: without ROS's own parameters, arrays as lists."""
    return {
        name: value if isinstance(value, (bool, int, float, str)) else list(value or ())
        for name, value in parameters.items()
        if name not in ROS_OWN and not name.startswith(ROS_OWN_PREFIX)
    }


def descriptor(opt: Option) -> ParameterDescriptor:
    """Return the descriptor of one option. Read-only: the map is built with these values from the start."""
    made = ParameterDescriptor(description=opt.help, read_only=True)
    made.additional_constraints = f"one of {', '.join(opt.choices)}" if opt.choices else ""
    if opt.type is float and (opt.ge is not None or opt.le is not None):
        low = -sys.float_info.max if opt.ge is None else opt.ge
        high = sys.float_info.max if opt.le is None else opt.le
        made.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)]
    elif opt.type is int and (opt.ge is not None or opt.le is not None):
        low = -(2**63) if opt.ge is None else opt.ge
        high = 2**63 - 1 if opt.le is None else opt.le
        made.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    elif opt.type is tuple:
        made.additional_constraints = f"each in [{opt.ge}, {opt.le}]"
    return made
