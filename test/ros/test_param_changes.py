# SPDX-License-Identifier: Apache-2.0
"""Parameters of the running node, through the standard services: what it declares, takes at once, and refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from rcl_interfaces.msg import ParameterType
from rclpy.parameter import Parameter
from ros.lerf_client import CAMERA, DEPTH_M, INTRINSICS, LerfClient, floor
from ros.managing import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, Manager
from ros.test_node import SMALL
from ros_processes import Program, lerf_node, wait_until
from tiny_clip_model import write_model

from lerf_ros.config import options
from lerf_ros.msg import QueryResult
from lerf_ros.options import flattened
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.params import ROS_OWN

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
KINDS = {
    "bool": ParameterType.PARAMETER_BOOL, "int": ParameterType.PARAMETER_INTEGER,
    "float": ParameterType.PARAMETER_DOUBLE, "str": ParameterType.PARAMETER_STRING,
    "float[]": ParameterType.PARAMETER_DOUBLE_ARRAY, "str[]": ParameterType.PARAMETER_STRING_ARRAY,
}  # fmt: skip


class Running(NamedTuple):
    program: Program
    manager: Manager
    client: LerfClient


@pytest.fixture(scope="module")
def running(ros: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    encoder = f"local-dir:{write_model(tmp_path_factory.mktemp('encoder') / 'tiny')}"
    manager, client = Manager(), LerfClient()
    with lerf_node(ros / "changes.log", {**SMALL, "encoder.model": encoder, "input.tf_timeout_s": 5.0}) as program:
        manager.wait_ready(program)
        client.wait_ready()
        yield Running(program, manager, client)
    manager.destroy_node()
    client.destroy_node()


def undisturbed(running: Running) -> None:
    assert running.program.alive, running.program.output
    assert "Traceback" not in running.program.output
    assert running.client.next_status().fault == ""
    assert running.manager.state() == "active"


def test_the_running_node_declares_what_file_page_and_tree_hold(running: Running) -> None:
    manager = running.manager
    file = flattened(yaml.safe_load((ROOT / "config/lerf.yaml").read_text())["/**/lerf"]["ros__parameters"])
    page = (ROOT / "docs/parameters.md").read_text()
    keys = [opt.key for opt in options()]
    assert sorted(file) == sorted(keys)
    declared = [n for n in manager.names() if n not in ROS_OWN and not n.startswith("qos_overrides.")]
    assert sorted(declared) == sorted(keys)
    values = dict(zip(keys, manager.get(*keys), strict=True))
    for opt, said in zip(options(), manager.describe(*keys), strict=True):
        assert f"| `{opt.key}` |" in page
        assert said.name == opt.key
        assert said.type == KINDS[opt.type_name]
        assert said.description == opt.help
        assert said.read_only == (opt.when == "start")
        if opt.key not in SMALL and opt.key != "encoder.model":
            value = values[opt.key]
            assert (list(value) if opt.type is tuple else value) == file[opt.key], opt.key


def test_limits_of_requests_hold_at_once(running: Running) -> None:
    manager, client = running.manager, running.client
    two = {"prompts": ["red mug", "blue"]}
    assert client.ask(**two).results[0].status == QueryResult.NOT_READY
    assert manager.set("query.max_prompts", 1).successful
    assert client.ask(**two).results[0].status == QueryResult.BAD_REQUEST
    assert manager.set("query.max_prompts", 64).successful
    assert client.ask(**two).results[0].status == QueryResult.NOT_READY


def test_limits_of_frames_and_distances_of_keyframes_hold_at_once(running: Running) -> None:
    manager, client = running.manager, running.client
    client.send_frame(x=-0.2)
    wait_until(lambda: client.next_status().keyframes == 1, "a keyframe")
    far = {"keyframes.min_translation_m": 5.0, "keyframes.min_rotation_rad": 3.0}
    assert manager.set_together(far).successful
    client.send_frame(x=0.0)
    wait_until(lambda: client.next_status().frames_not_moved == 1, "not far enough now")
    assert manager.set("keyframes.min_translation_m", 0.05).successful
    client.send_frame(x=0.0)
    wait_until(lambda: client.next_status().keyframes == 2, "far enough again")
    assert manager.set("input.max_pixels", 1000).successful
    client.send_frame(x=0.2)
    wait_until(lambda: client.next_status() and client.drops() == {"image_too_large": 1}, "too large now")
    assert manager.set("input.max_pixels", 100_000).successful
    client.send_frame(x=0.2)
    wait_until(lambda: client.next_status().keyframes == 3, "small enough again")


def test_how_far_stamps_may_lie_apart_holds_at_once(running: Running) -> None:
    manager, client = running.manager, running.client
    keyframes = client.next_status().keyframes
    for slop_s, expected in ((0.0, keyframes), (0.05, keyframes + 1)):
        assert manager.set("input.sync_slop_s", slop_s).successful
        stamp_ns = client.now_ns()
        for topic, apart_ms, message in (
            (client.info, 10, info_from_intrinsics(INTRINSICS, CAMERA, 0)),
            (client.depth, 10, image_from_depth(np.full((48, 64), DEPTH_M, np.float32), CAMERA, 0)),
            (client.image, 0, image_from_rgb(floor(0.4, 0.2), CAMERA, 0)),
        ):
            stamp = message.header.stamp
            stamp.sec, stamp.nanosec = divmod(stamp_ns + apart_ms * 1_000_000, 10**9)
            client.send_pose(0.4, 0.2, stamp_ns)
            topic.publish(message)
        for _ in range(5 if expected == keyframes else 0):
            assert client.next_status().keyframes == keyframes
        wait_until(lambda n=expected: client.next_status().keyframes == n, f"{expected} keyframes")  # type: ignore[misc]
    assert manager.set("input.sync_slop_s", 0.02).successful


def test_answers_training_and_files_follow(running: Running) -> None:
    manager, client = running.manager, running.client
    wait_until(lambda: client.ask(prompts=["a"]).results[0].status == QueryResult.FOUND, "an answer")
    assert manager.set("query.min_keyframes", 100).successful
    assert client.ask(prompts=["a"]).results[0].status == QueryResult.NOT_READY
    assert manager.set("query.min_keyframes", 3).successful
    assert client.ask(prompts=["a"]).results[0].status == QueryResult.FOUND
    wait_until(lambda: client.next_status().training == "resting", "rest")
    steps = client.status.step
    assert manager.set("runtime.idle_steps", 100).successful
    wait_until(lambda: client.next_status().step == steps + 60, "training goes on: 40 steps were 100 too few by 60")
    undisturbed(running)


def test_what_needs_another_map_is_refused_with_what_to_do(running: Running) -> None:
    manager = running.manager
    for name, value in {"train.rays": 64, "encoder.model": "bundled", "input.world_frame": "moon"}.items():
        before = manager.get(name)
        refused = manager.set(name, value)
        assert not refused.successful
        for word in (name, "unconfigured", "ros2 lifecycle set /lerf cleanup", "deactivate", "configure"):
            assert word in refused.reason
        assert manager.get(name) == before
        assert manager.set(name, before[0]).successful, "what it is already may be set, as a whole file does"
    refused = manager.set("runtime.autostart", False)
    assert not refused.successful
    assert "read-only" in refused.reason
    undisturbed(running)


def test_what_contradicts_other_values_is_refused_and_taken_together_with_them(running: Running) -> None:
    manager = running.manager
    refused = manager.set("input.depth_min_m", 6.0)
    assert not refused.successful
    assert "input.depth_min_m = 6.0 must be below input.depth_max_m = 5.0" in refused.reason
    assert manager.set_together({"input.depth_min_m": 6.0, "input.depth_max_m": 7.0}).successful
    assert manager.get("input.depth_min_m", "input.depth_max_m") == [6.0, 7.0]
    assert not manager.set_together({"input.depth_min_m": 0.1, "input.depth_max_m": 5.0, "train.rays": 64}).successful
    assert manager.get("input.depth_min_m", "input.depth_max_m") == [6.0, 7.0], "all or nothing"
    assert manager.set_together({"input.depth_max_m": 5.0, "input.depth_min_m": 0.1}).successful
    undisturbed(running)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("query.found_probability", "high", "Wrong parameter type"),
        ("query.found_probability", True, "Wrong parameter type"),
        ("query.found_probability", [0.5], "Wrong parameter type"),
        ("query.found_probability", None, "cannot be undeclared"),
        ("query.found_probability", 1.5, "out of range"),
        ("query.found_probability", float("nan"), "out of range"),
        ("query.max_prompts", 3.5, "Wrong parameter type"),
        ("query.max_prompts", 0, "out of range"),
        ("query.rule", "guess", "must be one of objects, peak"),
        ("query.max_promps", 3, "unknown parameter 'query.max_promps'; did you mean 'query.max_prompts'"),
        ("outputs.prompts", [f"thing {n}" for n in range(200)], "200 phrases are more than"),
        ("outputs.prompts", ["red mug", " "], "phrase 1"),
        ("outputs.prompts", "red mug", "Wrong parameter type"),
        ("outputs.prompts", [1, 2], "Wrong parameter type"),
        ("input.cameras", ["left", "left"], "'left' twice"),
        ("input.cameras", ["not a name"], "cannot be part of a topic's name"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(running: Running, name: str, value: object, reason: str) -> None:
    manager = running.manager
    before = manager.get(name)
    refused = manager.set(name, value)
    assert not refused.successful
    assert reason in refused.reason
    assert manager.get(name) == before
    undisturbed(running)


def test_lists_may_be_empty_and_whole_numbers_stand_for_others(running: Running) -> None:
    """`ros2 param set` takes [] for booleans, rclpy for bytes, and 3 for an integer."""
    manager = running.manager
    for kind in (Parameter.Type.BOOL_ARRAY, Parameter.Type.BYTE_ARRAY, Parameter.Type.STRING_ARRAY):
        assert manager.set("outputs.prompts", ["red mug"]).successful
        assert manager.set("outputs.prompts", [], kind).successful
        assert manager.get("outputs.prompts") == [[]]
        assert manager.describe("outputs.prompts")[0].type == ParameterType.PARAMETER_STRING_ARRAY
    assert manager.set("query.stale_after_s", 3).successful
    assert manager.get("query.stale_after_s") == [3.0]
    assert isinstance(manager.get("query.stale_after_s")[0], float)
    assert manager.set("query.stale_after_s", 0).successful
    assert manager.set("workspace.min_m", [-0.6, -0.6, -0.2]).successful
    undisturbed(running)


def test_unconfigured_it_takes_everything_for_the_next_map(running: Running) -> None:
    manager, client = running.manager, running.client
    assert manager.change(DEACTIVATE)
    assert not manager.set("input.world_frame", "table").successful, "inactive it is still configured"
    assert manager.change(CLEANUP)
    assert manager.set("input.world_frame", "table").successful
    assert manager.set("workspace.max_m", [1, 1, 1]).successful, "whole numbers"
    assert manager.get("workspace.max_m") == [[1.0, 1.0, 1.0]]
    assert not manager.set("workspace.max_m", [-2.0, 1.0, 1.0]).successful
    assert manager.change(CONFIGURE)
    assert manager.change(ACTIVATE)
    wait_until(lambda: client.next_status().header.frame_id == "table", "the new map's frame")
    undisturbed(running)
