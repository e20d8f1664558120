# SPDX-License-Identifier: Apache-2.0
"""The node as a managed one, through the standard services of lifecycle_msgs, in a process of its own."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ros.lerf_client import LerfClient
from ros.managing import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, SHUTDOWN, Manager, files, threads
from ros.test_node import SMALL
from ros_processes import Program, lerf_node, wait_until
from tiny_clip_model import write_model

from lerf_ros.msg import QueryResult
from lerf_ros.srv import SaveMap

pytestmark = pytest.mark.ros
BY_HAND = {**SMALL, "runtime.autostart": False, "runtime.idle_steps": 100_000, "encoder.model": "local-dir:/nowhere"}
CLEAN_S = 5.0


class Running(NamedTuple):
    program: Program
    manager: Manager
    client: LerfClient

    @property
    def pid(self) -> int:
        return self.program.process.pid


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_model(tmp_path_factory.mktemp('encoder') / 'tiny')}"


@pytest.fixture(scope="module")
def running(ros: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    manager, client = Manager(), LerfClient()
    maps = tmp_path_factory.mktemp("maps")
    with lerf_node(ros / "managed.log", {**BY_HAND, "runtime.maps_dir": str(maps)}) as program:
        manager.wait_ready(program)
        yield Running(program, manager, client)
    manager.destroy_node()
    client.destroy_node()


def mapped(client: LerfClient, frames: int) -> None:
    for n in range(frames):
        keyframes = client.next_status().keyframes
        client.send_frame(x=0.1 * n - 0.15, y=0.01 * keyframes)
        wait_until(lambda k=keyframes: client.next_status().keyframes > k, f"keyframe {n}")


def test_what_the_state_does_not_allow_is_refused_and_nothing_happens(running: Running) -> None:
    manager = running.manager
    assert manager.state() == "unconfigured"
    for transition in (ACTIVATE, DEACTIVATE, CLEANUP, SHUTDOWN["active"], 99):
        assert not manager.change(transition)
        assert manager.state() == "unconfigured"
    assert not manager.change(0, label="fly")
    assert manager.state() == "unconfigured"
    assert running.program.alive


def test_a_configure_that_fails_says_why_and_works_once_the_parameter_is_right(running: Running, encoder: str) -> None:
    manager = running.manager
    assert not manager.change(CONFIGURE)
    assert manager.state() == "unconfigured"
    assert "cannot be configured" in running.program.output
    assert "/nowhere" in running.program.output
    assert manager.set("encoder.model", encoder).successful
    assert manager.change(CONFIGURE)
    assert manager.state() == "inactive"
    for transition in (CONFIGURE, DEACTIVATE, SHUTDOWN["active"]):
        assert not manager.change(transition)
        assert manager.state() == "inactive"


def test_inactive_it_keeps_the_map_and_answers_and_active_it_goes_on_from_there(running: Running) -> None:
    manager, client = running.manager, running.client
    assert manager.change(ACTIVATE)
    assert not manager.change(CLEANUP), "only from inactive"
    client.wait_ready()
    mapped(client, 4)
    wait_until(lambda: client.ask(prompts=["red mug"]).results[0].status == QueryResult.FOUND, "an answer")
    begin = time.monotonic()
    assert manager.change(DEACTIVATE)
    assert time.monotonic() - begin < CLEAN_S
    before = client.next_status()
    assert before.training == "inactive"
    assert before.keyframes == 4
    wait_until(lambda: client.image.get_subscription_count() == 0, "unsubscribed")
    client.send_frame(x=0.4)
    assert client.ask(prompts=["red mug"]).results[0].status == QueryResult.FOUND
    saved = ask_to_save(client, "kept")
    assert saved.success, saved.message
    assert saved.training_step == before.step, "not a step was taken"
    assert client.next_status().step == before.step
    assert manager.change(ACTIVATE)
    wait_until(lambda: client.next_status().step > before.step, "training goes on")
    client.wait_ready()
    mapped(client, 1)
    assert client.status.keyframes == 5
    assert client.status.fault == ""


def ask_to_save(client: LerfClient, name: str) -> SaveMap.Response:
    saving = client.create_client(SaveMap, "/lerf/save_map")
    assert saving.wait_for_service(10)
    response = client._result(saving.call_async(SaveMap.Request(name=name)))
    client.destroy_client(saving)
    return response


def test_cleanup_leaves_nothing_and_can_be_repeated(running: Running) -> None:
    """The second round is what the others are compared with: the first leaves what is loaded once.

    rclpy's events executor has a thread for each timer, and ends those of destroyed timers only when it is woken next.
    """
    manager, client = running.manager, running.client
    counts: list[tuple[int, int]] = []

    def settled() -> bool:
        now = threads(running.pid), files(running.pid)
        return all(a - b <= 2 for a, b in zip(now, counts[1], strict=True))

    for n in range(10):
        if manager.state() == "unconfigured":
            assert manager.change(CONFIGURE)
            assert manager.change(ACTIVATE)
        assert manager.change(DEACTIVATE)
        assert manager.change(CLEANUP)
        counts.append((threads(running.pid), files(running.pid)))
        assert manager.state() == "unconfigured"  # this wakes the executor
        if n > 1:
            wait_until(settled, f"no more threads and files than after the second round: {counts}")
    wait_until(lambda: not client.query_client.wait_for_service(0.1), "no service is left")
    assert manager.change(CONFIGURE)
    assert manager.change(ACTIVATE)
    client.wait_ready()
    assert client.next_status().keyframes == 0, "the map is gone"
    mapped(client, 3)


def test_it_is_shut_down_from_active_and_ends(running: Running) -> None:
    manager = running.manager
    begin = time.monotonic()
    assert manager.change(SHUTDOWN["active"])
    assert manager.state() == "finalized"
    assert not manager.change(CONFIGURE)
    assert running.program.stop() == 0, running.program.output
    assert time.monotonic() - begin < CLEAN_S
    assert "Traceback" not in running.program.output


@pytest.mark.parametrize("state", ["unconfigured", "inactive"])
def test_it_is_shut_down_from_every_other_state_and_ends(ros: Path, encoder: str, state: str) -> None:
    manager = Manager()
    with lerf_node(ros / f"down_{state}.log", {**BY_HAND, "encoder.model": encoder}) as program:
        manager.wait_ready(program)
        if state == "inactive":
            assert manager.change(CONFIGURE)
        begin = time.monotonic()
        assert manager.change(SHUTDOWN[state])
        assert manager.state() == "finalized"
        assert program.stop(signal.SIGTERM) == 0, program.output
        assert time.monotonic() - begin < CLEAN_S
        assert "Traceback" not in program.output
    manager.destroy_node()


@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active"])
def test_a_signal_ends_it_in_every_state(ros: Path, encoder: str, state: str) -> None:
    manager = Manager()
    with lerf_node(ros / f"signal_{state}.log", {**BY_HAND, "encoder.model": encoder}) as program:
        manager.wait_ready(program)
        for transition in {"unconfigured": [], "inactive": [CONFIGURE], "active": [CONFIGURE, ACTIVATE]}[state]:
            assert manager.change(transition)
        assert manager.state() == state
        begin = time.monotonic()
        assert program.stop() == 0, program.output
        assert time.monotonic() - begin < CLEAN_S
        assert "Traceback" not in program.output
    manager.destroy_node()


PROGRAM = """
import json, sys, threading, weakref
import numpy as np, rclpy, torch
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros import making, node as module
from lerf_ros.ros.outputs.status import resident_bytes
from lerf_ros.ros.running import start_ros

start_ros()
node = module.LerfNode()
said = {"dead": [], "threads": [], "rss_mb": [], "entities": []}

def entities():
    return [len(list(x)) for x in (node.publishers, node.subscriptions, node.services, node.timers, node.clients)]

def image(n):
    T = np.diag([1.0, -1.0, -1.0, 1.0]); T[:3, 3] = 0.1 * n, 0, 0.6
    rgb = np.random.default_rng(n).integers(0, 255, (240, 320, 3), np.uint8)
    return PosedImage(n, rgb, np.full((240, 320), 0.6, np.float32), Intrinsics(320, 240, 300, 300, 159.5, 119.5), T)

said["entities"].append(entities())
for n in range(6):
    assert node.trigger_configure().name == "SUCCESS"
    assert node.trigger_activate().name == "SUCCESS"
    site = node._site
    for k in range(4):
        site.loop.command(lambda: site.mapper.add(site.mapper.prepare(image(k)))).result(20)
    for k in range(5):
        site.loop.command(site.mapper.step).result(20)
    site.loop.command(site.mapper.publish).result(20)
    said["rss_mb"].append(resident_bytes() / 1e6)
    alive = [weakref.ref(x) for x in (site.mapper, site.mapper.trainer, site.encoder, site.loop, site.ingest,
                                      site.settings, site.camera_poses, site.mapper.store)]
    del site
    assert node.trigger_deactivate().name == "SUCCESS"
    said["rss_mb"].append(resident_bytes() / 1e6)
    assert node.trigger_cleanup().name == "SUCCESS"
    said["dead"].append([ref() is None for ref in alive])
    said["threads"].append([t.name for t in threading.enumerate() if t.name.startswith("lerf")])
    said["rss_mb"].append(resident_bytes() / 1e6)
    said["entities"].append(entities())

def parts(site):
    yield from made(site)
    yield Faulty()

class Faulty:
    def __init__(self):
        if broken == "make": raise ValueError("cannot be made")
    def activate(self): raise ValueError("cannot begin")
    def deactivate(self): raise ValueError("cannot stop")
    def close(self): raise ValueError("cannot close")

made, module.make_parts = module.make_parts, parts
state = lambda: node._state_machine.current_state[1]
broken = "make"
said["faulty"] = [node.trigger_configure().name, state(), node._site is None, entities() == said["entities"][0]]
broken = "begin"
said["faulty"] += [node.trigger_configure().name, node.trigger_activate().name, state()]
said["faulty"] += [entities() == said["entities"][0]]
module.make_parts = made
said["faulty"] += [node.trigger_configure().name, node.trigger_activate().name, state()]
assert node.close()
print(json.dumps(said))
"""


def test_after_cleanup_or_an_error_everything_is_garbage_and_the_node_goes_on(
    ros: Path, encoder: str, tmp_path: Path
) -> None:
    """In one process, so that the objects themselves can be asked whether they are still there."""
    parameters = {**BY_HAND, "encoder.model": encoder, "field.log2_table": 16, "field.levels": 14}
    command = [sys.executable, "-c", PROGRAM, "--ros-args"]
    for key, value in parameters.items():
        command += ["-p", f"{key}:={json.dumps(value)}"]
    with Program(command, ros / "garbage.log") as program:
        assert program.wait(120) == 0, program.output
        said = json.loads(program.output.splitlines()[-1])
    assert all(all(row) for row in said["dead"]), said
    assert said["threads"] == [[]] * 6
    assert all(row == said["entities"][0] for row in said["entities"]), said["entities"]
    active, inactive, empty = (said["rss_mb"][n::3] for n in range(3))
    gradient_mb = 14 * 2**16 * 2 * 4 / 1e6
    assert all(a - b > gradient_mb for a, b in zip(active, inactive, strict=True)), said["rss_mb"]
    assert all(a - b > 4 * gradient_mb for a, b in zip(active, empty, strict=True)), "tables, gradients, two moments"
    assert min(empty[3:]) - max(empty[1:3]) < 15, f"what a round leaves would add up: {said['rss_mb']}"
    assert said["faulty"] == [
        "FAILURE", "unconfigured", True, True,
        "SUCCESS", "ERROR", "unconfigured", True,
        "SUCCESS", "SUCCESS", "active",
    ]  # fmt: skip
    assert "ValueError: cannot begin" in program.output
