# SPDX-License-Identifier: Apache-2.0
"""Parameters: dataclass tree == config/lerf.yaml == what the node declares."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rclpy
import yaml
from rcl_interfaces.msg import ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter

from lerf_ros.config import Config, from_dict, options, to_flat
from lerf_ros.errors import ConfigError
from lerf_ros.ros import params

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]


@contextmanager
def node(**overrides: object) -> Iterator[Node]:
    given = [Parameter(name.replace("__", "."), value=value) for name, value in overrides.items()]
    made = rclpy.create_node("params", parameter_overrides=given)
    try:
        yield made
    finally:
        made.destroy_node()


def test_the_parameter_file_is_what_the_configuration_declares() -> None:
    written = subprocess.run(
        [sys.executable, ROOT / "scripts/parameter_file"], capture_output=True, text=True, check=True
    )
    file = ROOT / "config" / "lerf.yaml"
    assert file.read_text() == written.stdout, "run `make config`"
    assert from_dict(yaml.safe_load(written.stdout)["/**/lerf"]["ros__parameters"]) == Config()


def test_the_reference_page_is_what_the_configuration_declares() -> None:
    written = subprocess.run(
        [sys.executable, ROOT / "scripts/parameter_page"], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs" / "parameters.md").read_text() == written.stdout, "run `make config`"
    rows = {line.split("`")[1]: line for line in written.stdout.splitlines() if line.startswith("| `")}
    assert list(rows) == [o.key for o in options()]
    for opt in options():
        assert f"| {opt.when} |" in rows[opt.key]
        assert len(rows[opt.key].replace("\\|", "").split("|")) == 9, "seven columns"


@pytest.mark.usefixtures("ros")
def test_every_option_is_declared_with_its_default_description_and_range() -> None:
    with node() as made:
        assert params.declare(made) == Config()
        flat = to_flat(Config())
        assert {o.key for o in options()} <= set(made.get_parameters_by_prefix(""))
        for opt in options():
            value = made.get_parameter(opt.key).value
            assert (tuple(value) if isinstance(flat[opt.key], tuple) else value) == flat[opt.key]
            described = made.describe_parameter(opt.key)
            assert described.description == opt.help
            assert described.read_only == (opt.when == "start")
            assert ("any time" in described.additional_constraints) == (opt.when == "any time")
            assert not described.dynamic_typing
            if opt.type is float and described.type == ParameterType.PARAMETER_DOUBLE:
                assert len(described.floating_point_range) == (opt.ge is not None or opt.le is not None)
            if opt.type is int:
                assert [(r.from_value, r.to_value) for r in described.integer_range] == [(opt.ge, opt.le)]


@pytest.mark.usefixtures("ros")
def test_given_values_reach_the_configuration_and_the_declaration() -> None:
    with node(input__max_age_s=3, workspace__min_m=[-1.0, -1.0, -1.0], use_sim_time=True) as made:
        config = params.declare(made)
        assert config.input.max_age_s == 3.0
        assert config.workspace.min_m == (-1.0, -1.0, -1.0)
        assert made.get_parameter("input.max_age_s").value == 3.0


@pytest.mark.usefixtures("ros")
@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"train__rayz": 5}, "unknown parameter 'train.rayz'; did you mean 'train.rays'"),
        ({"rays": 5}, "unknown parameter 'rays'"),
        ({"train__rays": 3}, r"train.rays = 3 is out of range \[16, "),
        ({"train__rays": "many"}, "train.rays = 'many' must be of type int"),
        ({"input__pose_source": "gps"}, "must be one of tf, pose"),
        ({"query__top_fraction": float("nan")}, "not finite"),
        ({"workspace__min_m": [5.0, 5.0, 5.0]}, "workspace.min_m"),
        ({"workspace__min_m": ["a", "b", "c"]}, "must be a list of float"),
        ({"input__cameras": [1, 2]}, "must be a list of str"),
        ({"input__cameras": "wrist"}, r"must be of type str\[\]"),
        ({"outputs__prompts": [f"thing {n}" for n in range(200)]}, "200 phrases are more than"),
    ],
)
def test_what_cannot_be_is_refused_with_its_remedy(overrides: dict[str, object], text: str) -> None:
    with node(**overrides) as made, pytest.raises(ConfigError, match=text):
        params.declare(made)




@pytest.mark.usefixtures("ros")
@pytest.mark.parametrize("kind", [Parameter.Type.NOT_SET, Parameter.Type.BYTE_ARRAY, Parameter.Type.STRING_ARRAY])
def test_an_empty_list_of_strings_is_one_whatever_ros_takes_it_for(kind: Parameter.Type) -> None:
    given = Parameter("input.cameras", kind, None if kind == Parameter.Type.NOT_SET else [])
    made = rclpy.create_node("params", parameter_overrides=[given])
    try:
        assert params.declare(made).input.cameras == ()
        declared = made.get_parameter("input.cameras")
        assert declared.type_ == Parameter.Type.STRING_ARRAY
        assert list(declared.value) == []
        assert made.describe_parameter("input.cameras").type == ParameterType.PARAMETER_STRING_ARRAY
    finally:
        made.destroy_node()
