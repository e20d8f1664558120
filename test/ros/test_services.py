# SPDX-License-Identifier: Apache-2.0
"""All services but `~/query`, over real DDS, of a node in its own process. One process serves all cases, in order."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Point, PoseStamped
from rclpy.qos import QoSProfile
from ros.lerf_client import LerfClient, looking_down
from ros.managing import CLEANUP, CONFIGURE, DEACTIVATE, Manager
from ros.test_node import SMALL
from ros_processes import Program, lerf_node, wait_until
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from tiny_clip_model import write_model

from lerf_ros.msg import QueryResult
from lerf_ros.srv import ForgetRegion, LoadMap, NextViews, Query, Render, SaveMap

pytestmark = pytest.mark.ros
KINDS = {
    "save_map": SaveMap, "load_map": LoadMap, "reset": Trigger, "forget_region": ForgetRegion, "render": Render,
    "next_views": NextViews, "query": Query,
}  # fmt: skip
ANSWERED = (QueryResult.FOUND, QueryResult.AMBIGUOUS)


class Running(NamedTuple):
    program: Program
    client: LerfClient
    maps: Path

    def call(self, service: str, **fields: object) -> object:
        """Return the answer of a service."""
        client = self.client.create_client(KINDS[service], f"/lerf/{service}")
        try:
            wait_until(lambda: client.wait_for_service(0.5), service)
            return self.client._result(client.call_async(KINDS[service].Request(**fields)))
        finally:
            self.client.destroy_client(client)

    def status_of(self, phrase: str = "red mug", **fields: object) -> int:
        return int(self.client.ask(prompts=[phrase], **fields).results[0].status)

    def still_well(self) -> None:
        assert self.program.alive, self.program.output
        status = self.client.next_status()
        assert status.trainer_alive
        assert status.encoder_alive
        assert status.fault == ""


@pytest.fixture(scope="module")
def running(ros: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = write_model(tmp_path_factory.mktemp("encoder") / "tiny")
    maps = tmp_path_factory.mktemp("maps")
    parameters = {**SMALL, "encoder.model": f"local-dir:{model}", "runtime.maps_dir": maps,
                  "outputs.max_render_pixels": 5000}  # fmt: skip
    client = LerfClient()
    with lerf_node(ros / "services.log", parameters) as program:
        try:
            client.wait_ready()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{program.output}") from None
        yield Running(program, client, maps)
    client.destroy_node()


@pytest.fixture(scope="module")
def mapped(running: Running) -> Running:
    """The same node once it has a map of the floor, at rest."""
    see_floor(running)
    return running


def see_floor(running: Running) -> None:
    for n in range(4):
        see(running, 0.1 * n - 0.15, 0.0)
    rest(running)


def see(running: Running, x: float, y: float) -> None:
    """Send a frame until it is a keyframe: on a busy machine one may be dropped for want of its transform."""
    client = running.client
    before = client.next_status().keyframes

    def seen() -> bool:
        client.send_frame(x=x, y=y)
        return any(client.next_status().keyframes > before for _ in range(20))

    wait_until(seen, f"a keyframe; dropped: {client.drops()}", 40)


def rest(running: Running) -> None:
    wait_until(lambda: running.client.next_status().training == "resting", "rest")


def camera(x: float, y: float, z: float, frame: str = "", down: bool = True) -> PoseStamped:
    pose = PoseStamped()
    pose.header.frame_id = frame
    p, q = pose.pose.position, pose.pose.orientation
    p.x, p.y, p.z = x, y, z
    (q.x, q.w) = (1.0, 0.0) if down else (0.0, 1.0)
    return pose


def box(low: tuple[float, float, float], high: tuple[float, float, float], frame: str = "") -> dict[str, object]:
    corners = (Point(x=x, y=y, z=z) for x, y, z in (low, high))
    return dict(zip(("region_min", "region_max"), corners, strict=True)) | {"region_frame": frame}


def test_without_a_map_every_service_says_so(running: Running) -> None:
    refusals = {
        "save_map": {"name": "a"}, "load_map": {"name": "never_saved"}, "render": {"pose": camera(0, 0, 1.0),
        "width": 8, "height": 8}, "forget_region": box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), "next_views": {},
    }  # fmt: skip
    for service, fields in refusals.items():
        answer = running.call(service, **fields)
        assert not answer.success, service
        assert "no map" in answer.message or "no keyframe" in answer.message, (service, answer.message)
    assert running.call("reset").success, "harmless"
    assert running.status_of() == QueryResult.NOT_READY
    running.still_well()


def test_what_is_seen_from_anywhere(mapped: Running) -> None:
    seen = mapped.call("render", pose=camera(0.0, 0.0, 0.5), width=60, height=40, prompt="red mug")
    assert seen.success, seen.message
    assert (seen.color.encoding, seen.depth.encoding, seen.relevancy.encoding) == ("rgb8", "32FC1", "32FC1")
    assert (seen.color.width, seen.color.height) == (60, 40)
    assert seen.training_step == mapped.client.next_status().snapshot_step
    depth = np.frombuffer(bytes(seen.depth.data), np.float32)
    assert 0.3 < np.nanmedian(depth) < 0.7
    heat = np.frombuffer(bytes(seen.relevancy.data), np.float32)
    assert ((heat >= 0) & (heat <= 1) | np.isnan(heat)).all()
    assert not len(mapped.call("render", pose=camera(0.0, 0.0, 0.5), width=60, height=40).relevancy.data)


def test_a_view_from_another_frame_is_the_same(mapped: Running) -> None:
    static = looking_down(0.1, -0.2)
    static.child_frame_id = "tool"
    mapped.client.tf_static.publish(TFMessage(transforms=[static]))
    here = mapped.call("render", pose=camera(0.1, -0.2, 0.6), width=20, height=20)
    there = {"pose": camera(0.0, 0.0, 0.0, "tool", down=False), "width": 20, "height": 20}
    wait_until(lambda: mapped.call("render", **there).success, "the static transform")
    assert mapped.call("render", **there).color.data == here.color.data


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"width": 0, "height": 10}, "pixels"),
        ({"width": 100, "height": 51}, "outputs.max_render_pixels"),
        ({"width": 2**32 - 1, "height": 2**32 - 1}, "outputs.max_render_pixels"),
        ({"vertical_fov_rad": 4.0}, "vertical_fov_rad"),
        ({"pose": camera(math.nan, 0.0, 0.5)}, "NaN"),
        ({"pose": PoseStamped()}, ""),
        ({"pose": camera(0.0, 0.0, -0.003)}, "inside"),
        ({"pose": camera(0.0, 0.0, 0.5, "the_moon")}, "the_moon"),
        ({"prompt": "x" * 9999}, "bytes"),
    ],
)
def test_a_view_that_cannot_be_is_refused(mapped: Running, fields: dict[str, object], words: str) -> None:
    answer = mapped.call("render", **{"pose": camera(0.0, 0.0, 0.5), "width": 10, "height": 10, **fields})
    assert not answer.success
    assert words in answer.message
    mapped.still_well()


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "the_moon"), "the_moon"),
        (box((0.0, 0.0, 0.0), (0.0, 1.0, 1.0)), "below"),
        (box((0.0, 0.0, 0.0), (math.nan, 1.0, 1.0)), "finite"),
    ],
)
def test_a_region_that_is_none_is_not_forgotten(mapped: Running, region: dict[str, object], words: str) -> None:
    answer = mapped.call("forget_region", **region)
    assert not answer.success
    assert words in answer.message
    mapped.still_well()


def test_a_region_is_forgotten_and_seen_again_by_a_camera_that_has_not_moved(mapped: Running) -> None:
    client = mapped.client
    inside = {"region_min": Point(x=-0.1, y=-0.1, z=-0.1), "region_max": Point(x=0.1, y=0.1, z=0.1)}
    client.send_frame(x=0.15)  # where the last keyframe was
    before = client.next_status()
    assert mapped.status_of(**inside) in ANSWERED
    done = mapped.call("forget_region", **inside)
    assert done.success, done.message
    assert done.points_forgotten > 100
    assert mapped.status_of(**inside) == QueryResult.NOT_FOUND
    assert mapped.status_of() in ANSWERED, "the rest is there"
    assert client.next_status().keyframes == before.keyframes
    see(mapped, 0.15, 0.0)  # the camera at the same place is new
    wait_until(lambda: mapped.status_of(**inside) in ANSWERED, "it is seen again")
    rest(mapped)


def test_a_map_is_saved_loaded_and_learned_on(mapped: Running) -> None:
    client = mapped.client
    kept = client.next_status()
    saved = mapped.call("save_map", name="floor")
    assert saved.success, saved.message
    assert saved.training_step == kept.step
    assert len(list((mapped.maps / "floor" / "keyframes").iterdir())) == kept.keyframes
    before = client.ask(prompts=["red mug"]).results[0]
    assert mapped.call("reset").success
    assert mapped.status_of() == QueryResult.NOT_READY
    assert client.next_status().keyframes == 0
    loaded = mapped.call("load_map", name="floor")
    assert (loaded.success, loaded.message) == (True, "")
    assert (loaded.training_step, loaded.keyframes) == (saved.training_step, kept.keyframes)
    after = client.ask(prompts=["red mug"]).results[0]
    assert (after.status, after.probability, after.argmax) == (before.status, before.probability, before.argmax)
    assert client.next_status().step == kept.step
    see(mapped, 0.0, 0.3)
    wait_until(lambda: client.next_status().snapshot_step > kept.step, "training goes on")
    assert client.status.keyframes == kept.keyframes + 1
    rest(mapped)


def test_a_damaged_or_foreign_map_leaves_the_one_in_use(mapped: Running) -> None:
    client, floor = mapped.client, mapped.maps / "floor"
    before = client.next_status()
    for name, change in {
        "truncated": lambda text: text,
        "elsewhere": lambda text: text.replace('"frame_id": "base_link"', '"frame_id": "map"'),
        "other_field": lambda text: text.replace('"field.levels": 4', '"field.levels": 5'),
        "newer": lambda text: text.replace('"version": 3', '"version": 99'),
    }.items():
        copy = mapped.maps / name
        shutil.copytree(floor, copy)
        metadata = copy / "metadata.json"
        metadata.write_text(change(metadata.read_text()))
        if name == "truncated":
            file = copy / "keyframes" / "000001.safetensors"
            file.write_bytes(file.read_bytes()[:-1])
    for name, words in {
        "truncated": "000001", "elsewhere": "world_frame", "other_field": "field.levels = 5", "newer": "version 99",
        "../floor": "no map name", "nowhere": "there is no map",
    }.items():  # fmt: skip
        answer = mapped.call("load_map", name=name)
        assert not answer.success, name
        assert words in answer.message, answer.message
    after = client.next_status()
    assert (after.step, after.keyframes) == (before.step, before.keyframes)
    assert mapped.status_of() in ANSWERED
    assert not mapped.call("save_map", name="a/b").success


def test_after_reset_the_next_frames_begin_a_new_map(mapped: Running) -> None:
    assert mapped.call("reset").success
    status = mapped.client.next_status()
    assert (status.keyframes, status.step, status.training) == (0, 0, "waiting")
    assert mapped.client.ask(prompts=["red mug"]).results[0].status == QueryResult.NOT_READY
    see_floor(mapped)
    assert mapped.client.next_status().keyframes == 4
    assert mapped.status_of() in ANSWERED


def test_of_a_flood_of_requests_some_are_answered_and_the_rest_told_that_it_is_busy(mapped: Running) -> None:
    qos = QoSProfile(depth=400)
    client = mapped.client.create_client(Query, "/lerf/query", qos_profile=qos)
    wait_until(lambda: client.wait_for_service(0.5), "query")
    futures = [client.call_async(Query.Request(prompts=["red mug"] * 20, plan_grasps=True)) for _ in range(200)]
    wait_until(lambda: spun(mapped.client) and all(f.done() for f in futures), "200 answers", 60)
    mapped.client.destroy_client(client)
    busy = [f.result() for f in futures if "busy" in f.result().message]
    good = [f.result() for f in futures if not f.result().message]
    assert len(busy) + len(good) == 200
    assert len(good) >= 32
    assert all(r.status == QueryResult.NOT_READY for answer in busy for r in answer.results)
    assert mapped.status_of() in ANSWERED
    mapped.still_well()


def test_inactive_it_serves_on_and_taken_down_it_refuses_what_waits(mapped: Running) -> None:
    client, manager = mapped.client, Manager()
    manager.wait_ready(mapped.program)
    try:
        assert manager.change(DEACTIVATE)
        assert mapped.status_of() in ANSWERED
        assert mapped.call("render", pose=camera(0.0, 0.0, 0.5), width=8, height=8).success
        assert mapped.call("save_map", name="inactive").success
        assert mapped.call("forget_region", **box((-0.1, -0.1, -0.1), (0.1, 0.1, 0.1))).success
        assert mapped.call("reset").success
        assert mapped.call("load_map", name="inactive").success
        assert mapped.status_of() in ANSWERED
        flooding = client.create_client(Query, "/lerf/query", qos_profile=QoSProfile(depth=100))
        wait_until(lambda: flooding.wait_for_service(0.5), "query")
        for _ in range(30):
            flooding.call_async(Query.Request(prompts=["red mug"] * 20))
        assert manager.change(CLEANUP), mapped.program.output
        assert manager.change(CONFIGURE), "it is as new"
        assert mapped.status_of() == QueryResult.NOT_READY
        assert mapped.program.alive
        client.destroy_client(flooding)
    finally:
        manager.destroy_node()


def spun(client: LerfClient) -> bool:
    rclpy.spin_once(client, timeout_sec=0.1)
    return True
