# SPDX-License-Identifier: Apache-2.0
"""Two nodes in two namespaces, one process each: each hears its own two cameras, and has its own map and answers.

Only /tf, /tf_static, /clock, /diagnostics, /rosout and /parameter_events are shared, as everywhere in ROS.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ros.lerf_client import LerfClient
from ros.managing import CLEANUP, DEACTIVATE, Manager
from ros.test_node import SMALL
from ros_processes import Program, lerf_node, wait_until
from tiny_clip_model import write_model

from lerf_ros.msg import QueryResult

pytestmark = pytest.mark.ros
SIDES = ("left", "right")
CAMERAS = ("hand", "shelf")
SHARED = {"/tf", "/tf_static", "/clock", "/diagnostics", "/rosout", "/parameter_events"}


@pytest.fixture(scope="module")
def programs(ros: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    model = write_model(tmp_path_factory.mktemp("encoder") / "tiny")
    parameters = {**SMALL, "input.cameras": list(CAMERAS), "encoder.model": f"local-dir:{model}"}
    with (
        lerf_node(ros / "left.log", parameters, ["__ns:=/left"]) as left,
        lerf_node(ros / "right.log", parameters, ["__ns:=/right"]) as right,
    ):
        yield {"left": left, "right": right}


def ready(camera: str, programs: dict[str, Program]) -> dict[str, LerfClient]:
    """Return a client for a camera of each side."""
    made = {side: LerfClient(f"/{side}", camera) for side in SIDES}
    for side, client in made.items():
        try:
            client.wait_ready()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{programs[side].output}") from None
    return made


@pytest.fixture(scope="module")
def clients(programs: dict[str, Program]) -> Iterator[dict[str, LerfClient]]:
    """The cameras on the hand, which ask as well."""
    made = ready(CAMERAS[0], programs)
    yield made
    for client in made.values():
        client.destroy_node()


@pytest.fixture(scope="module")
def shelves(programs: dict[str, Program]) -> Iterator[dict[str, LerfClient]]:
    """The cameras on the shelf."""
    made = ready(CAMERAS[1], programs)
    yield made
    for client in made.values():
        client.destroy_node()


def test_every_name_is_in_the_nodes_own_namespace(clients: dict[str, LerfClient]) -> None:
    asker = clients["left"]
    for side in SIDES:
        namespace = f"/{side}"
        found = [
            *asker.get_publisher_names_and_types_by_node("lerf", namespace),
            *asker.get_subscriber_names_and_types_by_node("lerf", namespace),
            *asker.get_service_names_and_types_by_node("lerf", namespace),
        ]
        names = {name for name, _ in found}
        assert {f"{namespace}/{camera}/image" for camera in CAMERAS} <= names
        assert f"{namespace}/lerf/query" in names
        assert {name for name in names if not name.startswith(f"{namespace}/")} <= SHARED


def test_each_maps_what_its_own_cameras_see(
    clients: dict[str, LerfClient], shelves: dict[str, LerfClient]
) -> None:
    left, right = clients["left"], clients["right"]
    for n in range(3):
        left.send_frame(x=0.1 * n)
        wait_until(lambda n=n: left.next_status().keyframes == n + 1, f"keyframe {n} on the left")
    assert right.next_status().frames_received == 0
    wait_until(lambda: left.ask(prompts=["red"]).results[0].status == QueryResult.FOUND, "an answer on the left")
    assert right.ask(prompts=["red"]).results[0].status == QueryResult.NOT_READY
    right.send_frame(x=0.3)
    wait_until(lambda: right.next_status().keyframes == 1, "a keyframe on the right")
    for n, side in enumerate(SIDES):
        shelves[side].send_frame(x=-0.1 * n)
    wait_until(lambda: left.next_status().keyframes == 4, "a keyframe of the other camera on the left")
    wait_until(lambda: right.next_status().keyframes == 2, "a keyframe of the other camera on the right")
    assert list(left.status.cameras) == list(right.status.cameras) == list(CAMERAS)
    assert left.status.fault == right.status.fault == ""


def test_what_is_done_to_one_leaves_the_other_alone(
    clients: dict[str, LerfClient], programs: dict[str, Program]
) -> None:
    left, right = Manager("/left/lerf"), Manager("/right/lerf")
    left.wait_ready(programs["left"])
    right.wait_ready(programs["right"])
    assert right.set("query.max_prompts", 1).successful
    assert left.get("query.max_prompts") == [64]
    assert right.change(DEACTIVATE)
    assert right.change(CLEANUP)
    assert left.state() == "active"
    assert clients["left"].ask(prompts=["red", "blue"]).results[0].status == QueryResult.FOUND
    assert programs["right"].stop() == 0, programs["right"].output
    assert clients["left"].next_status().trainer_alive
    for manager in (left, right):
        manager.destroy_node()
