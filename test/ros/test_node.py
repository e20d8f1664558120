# SPDX-License-Identifier: Apache-2.0
"""The node in its own process, over real DDS. One process serves all cases: after each it must still answer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from geometry_msgs.msg import Point
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros.lerf_client import CAMERA, INTRINSICS, LerfClient, looking_down
from ros_processes import Program, lerf_node, wait_until
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from tiny_clip_model import write_model

from lerf_ros.msg import QueryResult
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.outputs.clouds import cloud_arrays
from lerf_ros.srv import Query

pytestmark = pytest.mark.ros
SMALL = {
    "input.reliability": "reliable",
    "input.self_filter": "none",
    "input.tf_timeout_s": 0.2,
    "input.max_pixels": 100_000,
    "workspace.min_m": [-0.6, -0.6, -0.2],
    "workspace.max_m": [0.6, 0.6, 0.4],
    "field.levels": 4,
    "field.log2_table": 12,
    "field.language_log2_table": 10,
    "train.rays": 128,
    "train.language_rays": 128,
    "surface.min_views": 1,
    "query.min_keyframes": 3,
    "query.min_steps": 5,
    "query.found_probability": 0.0,
    "runtime.snapshot_period_s": 0.3,
    "runtime.idle_steps": 40,
    "runtime.status_period_s": 0.1,
}


class Running(NamedTuple):
    program: Program
    client: LerfClient
    first_answer: Query.Response


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_model(tmp_path_factory.mktemp('encoder') / 'tiny')}"


@pytest.fixture(scope="module")
def running(ros: Path, encoder: str) -> Iterator[Running]:
    client = LerfClient()
    with lerf_node(ros / "node.log", {**SMALL, "encoder.model": encoder}) as program:
        try:
            client.wait_ready()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{program.output}") from None
        yield Running(program, client, client.ask(prompts=["red mug"]))
    client.destroy_node()


@pytest.fixture(scope="module")
def mapped(running: Running) -> Running:
    """The same node once it has a map of the floor."""
    client = running.client
    before = client.next_status().keyframes
    for n in range(4):
        client.send_frame(x=0.1 * n - 0.15)
        wait_until(lambda n=n: client.next_status().keyframes > before + n, f"keyframe {n}")
    wait_until(lambda: at_rest(client), "a snapshot at rest")
    return running


def at_rest(client: LerfClient) -> bool:
    """Return whether training rests, with its last step published."""
    first, second = client.next_status(), client.next_status()
    return first.step >= 40 and first.step == first.snapshot_step == second.step


def still_answers(running: Running) -> None:
    assert running.program.alive, running.program.output
    response = running.client.ask(prompts=["red mug"])
    assert len(response.results) == 1
    status = running.client.next_status()
    assert status.encoder_alive
    assert status.trainer_alive
    assert status.fault == ""


def test_a_query_before_the_first_snapshot_is_not_ready(running: Running) -> None:
    result = running.first_answer.results[0]
    assert result.status == QueryResult.NOT_READY
    assert "keyframe" in result.message
    assert running.first_answer.map_stamp.sec == 0


def test_it_says_loudly_which_encoder_runs(running: Running, encoder: str) -> None:
    assert f"encoder: {encoder} (weights sha256 " in running.program.output
    assert running.client.next_status().encoder == encoder
    assert len(running.client.status.encoder_sha256) == 64


def test_frames_become_a_map_that_answers(mapped: Running) -> None:
    client = mapped.client
    status = client.next_status()
    assert status.keyframes == 4
    assert status.step >= 40
    assert status.psnr_db > 0
    assert status.memory_mb > 50
    response = client.ask(prompts=["red mug", "", "blue"], plan_grasps=True)
    assert [r.prompt for r in response.results] == ["red mug", "", "blue"]
    assert [r.status == QueryResult.BAD_REQUEST for r in response.results] == [False, True, False]
    assert response.header.frame_id == "base_link"
    assert response.training_step == status.snapshot_step
    assert abs(response.map_stamp.sec - client.now_ns() // 10**9) < 60
    result = response.results[0]
    assert result.status in (QueryResult.FOUND, QueryResult.AMBIGUOUS)
    points, colours, relevancy = cloud_arrays(result.cloud)
    assert len(points) > 10
    assert np.abs(points[:, 2]).max() < 0.01, "the floor is at z = 0"
    assert np.abs(points[:, 0]).max() < 0.6
    assert colours[:, 1].max() < 90, "red and blue squares hold little green"
    assert ((relevancy >= 0) & (relevancy <= 1)).all()
    assert abs(result.argmax.z) < 0.02


def test_an_answer_in_another_frame_is_the_same_place(mapped: Running) -> None:
    client = mapped.client
    static = looking_down(0.1, -0.2)
    static.child_frame_id = "tool"
    client.tf_static.publish(TFMessage(transforms=[static]))
    wait_until(
        lambda: client.ask(prompts=["a"], target_frame="tool").results[0].status != QueryResult.BAD_REQUEST,
        "the static transform",
    )
    here = client.ask(prompts=["red mug"]).results[0]
    there = client.ask(prompts=["red mug"], target_frame="tool").results[0]
    assert there.cloud.header.frame_id == "tool"
    points, _, _ = cloud_arrays(here.cloud)
    turned, _, _ = cloud_arrays(there.cloud)
    x, y, z = (points - np.array([0.1, -0.2, 0.6], np.float32)).T  # the tool looks down: x, -y, -z
    np.testing.assert_allclose(turned, np.stack([x, -y, -z], axis=1), atol=1e-5)


def test_a_region_keeps_the_rest_out(mapped: Running) -> None:
    response = mapped.client.ask(
        prompts=["red mug"], region_min=Point(x=-0.5, y=-0.5, z=-0.1), region_max=Point(x=-0.1, y=0.5, z=0.1)
    )
    points, _, _ = cloud_arrays(response.results[0].cloud)
    assert points[:, 0].max(initial=-1) <= -0.09


@pytest.mark.parametrize("phrase", ["", "   \t\n", "x" * 10_000])
def test_a_bad_phrase_spoils_only_its_own_answer(mapped: Running, phrase: str) -> None:
    results = mapped.client.ask(prompts=["red mug", phrase]).results
    assert [r.status == QueryResult.BAD_REQUEST for r in results] == [False, True]
    assert results[1].message
    still_answers(mapped)


@pytest.mark.parametrize("phrase", ["rote Tasse mit Öhr", "赤いマグカップ", "кружка", "🟥☕"])
def test_any_script_can_be_asked(mapped: Running, phrase: str) -> None:
    result = mapped.client.ask(prompts=[phrase]).results[0]
    assert result.status != QueryResult.BAD_REQUEST
    assert result.prompt == phrase


@pytest.mark.parametrize(
    "fields",
    [
        {"prompts": []},
        {"prompts": ["a"] * 100},
        {"prompts": ["a"], "negatives": [" "]},
        {"prompts": ["a"], "target_frame": "the_moon"},
        {"prompts": ["a"], "region_frame": "the_moon", "region_max": Point(x=1.0, y=1.0, z=1.0)},
        {"prompts": ["a"], "region_min": Point(x=1.0), "region_max": Point(y=1.0, z=1.0)},
    ],
)
def test_a_bad_request_is_refused_whole(mapped: Running, fields: dict[str, object]) -> None:
    response = mapped.client.ask(**fields)
    assert response.message
    assert all(r.status == QueryResult.BAD_REQUEST for r in response.results)
    still_answers(mapped)


def rgb(width: int = 64, height: int = 48, **changes: object) -> Image:
    made = image_from_rgb(np.zeros((height, width, 3), np.uint8), CAMERA, 0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def bomb() -> Image:
    """Claims four thousand million pixels and holds three thousand."""
    made = rgb()
    made.width, made.height, made.step = 65_535, 65_535, 3 * 65_535
    return made


def millimetres(value: int, width: int = 64, height: int = 48, **changes: object) -> Image:
    made = image_from_depth(np.full((height, width), value / 1000, np.float32), CAMERA, 0)
    for name, value_ in changes.items():
        setattr(made, name, value_)
    return made


def camera(**changes: object) -> CameraInfo:
    made = info_from_intrinsics(INTRINSICS, CAMERA, 0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def in_frame(frame_id: str) -> Image:
    image = rgb()
    image.header.frame_id = frame_id
    return image


SECOND = 10**9
BAD_FRAMES: dict[str, tuple[str, Callable[[LerfClient], None]]] = {
    "unknown encoding": ("image_encoding", lambda c: c.send_frame(image=rgb(encoding="jpeg2000"))),
    "zero size": ("image_no_pixels", lambda c: c.send_frame(image=rgb(width=64, height=0))),
    "size contradicts CameraInfo": ("image_size", lambda c: c.send_frame(image=rgb(width=32, height=24))),
    "too few bytes": ("image_bytes", lambda c: c.send_frame(image=rgb(data=b"abc"))),
    "image bomb": ("image_too_large", lambda c: c.send_frame(image=bomb())),
    "not calibrated": ("intrinsics", lambda c: c.send_frame(info=camera(k=[0.0] * 9))),
    "unknown lens": ("distortion_model", lambda c: c.send_frame(info=camera(d=[0.1], distortion_model="mirror_ball"))),
    "depth all zero": ("depth_empty", lambda c: c.send_frame(depth=millimetres(0))),
    "depth of another size": ("depth_size", lambda c: c.send_frame(depth=millimetres(600, width=32))),
    "depth of unknown encoding": ("depth_encoding", lambda c: c.send_frame(depth=millimetres(600, encoding="8UC1"))),
    "in the past": ("stamp_too_old", lambda c: c.send_frame(stamp_ns=c.now_ns() - 60 * SECOND)),
    "stamp zero": ("stamp_too_old", lambda c: c.send_frame(stamp_ns=0)),
    "in the far future": ("stamp_in_future", lambda c: c.send_frame(stamp_ns=c.now_ns() + 60 * SECOND)),
    "no frame id": ("frame_id_missing", lambda c: c.send_frame(image=in_frame(""))),
    "no TF": ("tf_unknown_frame", lambda c: c.send_frame(image=in_frame("unheard_of_optical_frame"))),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_a_bad_frame_is_dropped_and_counted_by_its_cause(mapped: Running, case: str) -> None:
    cause, send = BAD_FRAMES[case]
    client = mapped.client
    client.next_status()
    before = client.drops().get(cause, 0)
    keyframes = client.status.keyframes
    send(client)
    wait_until(
        lambda: client.next_status() and client.drops().get(cause, 0) == before + 1, f"{cause}: {client.drops()}"
    )
    assert client.status.keyframes == keyframes
    assert any(w.startswith(f"{cause}:") for w in client.status.warnings), "named once by the self-check"
    still_answers(mapped)


@pytest.mark.parametrize(
    ("quaternion", "x", "cause"),
    [
        ((float("nan"), 0.0, 0.0, 1.0), 0.0, "pose_not_finite"),
        ((1.0, 0.0, 0.0, 0.0), float("inf"), "pose_not_finite"),
        ((0.0, 0.0, 0.0, 0.0), 0.0, "pose_not_rigid"),
        ((0.5, 0.0, 0.0, 0.5), 0.0, "pose_not_rigid"),
    ],
)
def test_a_bad_transform_is_refused_and_counted(
    mapped: Running, quaternion: tuple[float, ...], x: float, cause: str
) -> None:
    client = mapped.client
    client.next_status()
    before = client.drops().get(cause, 0)
    message = looking_down(x, 0.0)
    q = message.transform.rotation
    q.x, q.y, q.z, q.w = quaternion
    client.tf.publish(TFMessage(transforms=[message]))
    wait_until(lambda: client.next_status() and client.drops().get(cause, 0) == before + 1, cause)
    still_answers(mapped)


def test_a_transform_from_the_far_future_hides_nothing(mapped: Running) -> None:
    client = mapped.client
    before = client.next_status()
    refused = client.drops().get("tf_in_future", 0)
    client.send_pose(0.0, 0.0, client.now_ns() + 60 * SECOND)
    wait_until(lambda: client.next_status() and client.drops().get("tf_in_future", 0) == refused + 1, "counted")
    client.send_frame(x=-0.3, y=-0.2)
    wait_until(lambda: client.next_status().keyframes == before.keyframes + 1, "a keyframe with a good transform")


def test_images_without_camera_info_are_counted(mapped: Running) -> None:
    client = mapped.client
    client.next_status()
    before = client.drops().get("no_camera_info", 0)
    for n in range(16):
        image = rgb()
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(client.now_ns(), SECOND)
        client.image.publish(image)
        if n % 4 == 3:
            client.next_status()  # not faster than a queue of ten can take
    wait_until(lambda: client.next_status() and client.drops().get("no_camera_info", 0) >= before + 4, "counted")
    still_answers(mapped)


def test_a_publisher_that_can_never_be_heard_is_named(mapped: Running) -> None:
    client = mapped.client
    deaf = client.create_publisher(Image, "depth", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    wait_until(lambda: any(w.startswith("qos_mismatch /depth") for w in client.next_status().warnings), "named by name")
    client.destroy_publisher(deaf)


def test_after_all_that_good_frames_are_still_mapped(mapped: Running) -> None:
    client = mapped.client
    keyframes = client.next_status().keyframes
    client.send_frame(x=0.3, y=0.1)
    wait_until(lambda: client.next_status().keyframes == keyframes + 1, "one more keyframe")
    assert client.status.fault == ""


def test_a_standing_camera_gives_no_more_keyframes(mapped: Running) -> None:
    client = mapped.client
    client.send_frame(x=0.3, y=0.1)
    before = client.next_status()
    for _ in range(3):
        client.send_frame(x=0.3, y=0.1)
    wait_until(lambda: client.next_status().frames_not_moved >= before.frames_not_moved + 3, "counted as not moved")
    assert client.status.keyframes == before.keyframes
