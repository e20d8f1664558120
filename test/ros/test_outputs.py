# SPDX-License-Identifier: Apache-2.0
"""What the node publishes, seen over DDS by those who come late, change prompts, and take the camera away."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros.lerf_client import CAMERA, LerfClient
from ros.test_node import SMALL, at_rest
from ros_processes import Program, lerf_node, wait_until
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import Trigger
from tiny_clip_model import write_model
from visualization_msgs.msg import Marker, MarkerArray

from lerf_ros.ros.outputs.clouds import cloud_arrays, cloud_fields
from lerf_ros.ros.outputs.topic import LATCHED, STREAM

pytestmark = pytest.mark.ros
SETTINGS = {**SMALL, "outputs.period_s": 0.1, "outputs.prompts": ["red mug", "floor"]}


class Outputs(NamedTuple):
    program: Program
    client: LerfClient

    def next(self, kind: Any, topic: str, timeout_s: float = 20.0) -> Any:
        """Return the first message that comes to a new, late subscription."""
        got: list[Any] = []
        stream = topic.endswith("_image")
        subscription = self.client.create_subscription(kind, topic, got.append, STREAM if stream else LATCHED)
        wait_until(lambda: self.client._spin() and bool(got), f"a message on {topic}", timeout_s)
        self.client.destroy_subscription(subscription)
        return got[0]

    def set_prompts(self, *phrases: str) -> tuple[bool, str]:
        """Set outputs.prompts; return whether it was accepted, and the reason."""
        client = self.client.create_client(SetParameters, "/lerf/set_parameters")
        assert client.wait_for_service(10)
        value = ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=list(phrases))
        request = SetParameters.Request(parameters=[Parameter(name="outputs.prompts", value=value)])
        (result,) = self.client._result(client.call_async(request)).results  # type: ignore[attr-defined]
        self.client.destroy_client(client)
        return result.successful, result.reason

    def topics(self) -> set[str]:
        self.client._spin()
        return {name for name, _ in self.client.get_topic_names_and_types() if name.startswith("/lerf/relevancy/")}


@pytest.fixture(scope="module")
def outputs(ros: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    model = write_model(tmp_path_factory.mktemp("encoder") / "tiny")
    client = LerfClient()
    with lerf_node(ros / "outputs.log", {**SETTINGS, "encoder.model": f"local-dir:{model}"}) as program:
        client.wait_ready()
        for n in range(4):
            client.send_frame(x=0.1 * n - 0.15)
            wait_until(lambda n=n: client.next_status().keyframes > n, f"keyframe {n}")
        wait_until(lambda: at_rest(client), "a snapshot at rest")
        yield Outputs(program, client)
    client.destroy_node()


def test_who_comes_when_all_is_done_still_gets_the_map(outputs: Outputs) -> None:
    cloud = outputs.next(PointCloud2, "/lerf/cloud")
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("rgb", 12, 7, 1),
    ]  # fmt: skip
    assert (cloud.header.frame_id, cloud.point_step, cloud.is_dense) == ("base_link", 16, True)
    points, colours, _ = cloud_arrays(cloud)
    assert len(points) > 500
    assert np.abs(points[:, 2]).max() < 0.01, "the floor is at z = 0"
    assert colours[:, 1].max() < 90, "red and blue squares hold little green"
    again = outputs.next(PointCloud2, "/lerf/cloud")
    assert again == cloud, "nothing new has been mapped"


def test_every_prompt_has_the_relevancy_of_the_whole_surface(outputs: Outputs) -> None:
    whole, _, _ = cloud_arrays(outputs.next(PointCloud2, "/lerf/cloud"))
    clouds = [outputs.next(PointCloud2, f"/lerf/relevancy/prompt_{n}") for n in range(2)]
    for cloud in clouds:
        assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
            ("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("rgb", 12, 7, 1), ("relevancy", 16, 7, 1),
            ("scale", 20, 7, 1),
        ]  # fmt: skip
        fields = cloud_fields(cloud)
        np.testing.assert_array_equal(np.stack([fields[axis] for axis in "xyz"], axis=1), whole)
        assert ((fields["relevancy"] > 0) & (fields["relevancy"] < 1)).all()
        assert len(np.unique(fields["scale"])) == 1
    asked = outputs.client.ask(prompts=["red mug"]).results[0]
    assert cloud_fields(clouds[0])["scale"][0] == pytest.approx(asked.scale_m)
    points, _, relevancy = cloud_arrays(asked.cloud)
    known = {tuple(p): r for p, r in zip(whole.tolist(), cloud_fields(clouds[0])["relevancy"].tolist(), strict=True)}
    np.testing.assert_allclose([known[tuple(p)] for p in points.tolist()], relevancy, atol=1e-6)


def test_markers_show_the_answers_of_a_query(outputs: Outputs) -> None:
    array = outputs.next(MarkerArray, "/lerf/markers")
    answers = outputs.client.ask(prompts=["red mug", "floor"], plan_grasps=True).results
    assert array.markers[0].action == Marker.DELETEALL
    assert {m.header.frame_id for m in array.markers} == {"base_link"}
    assert len(next(m for m in array.markers if m.ns == "keyframes").points) == 4 * 16
    boxes = [m for m in array.markers if m.ns == "extents"]
    things = [each for answer in answers for each in answer.instances]
    assert [(m.pose, m.scale) for m in boxes] == [(t.extent_pose, t.extent_size) for t in things]
    assert [m.text.split(" 0")[0].split(" 1")[0] for m in array.markers if m.ns == "labels"] == ["red mug", "floor"]
    targets = [target for answer in answers for target in answer.targets]
    assert [m.pose for m in array.markers if m.ns == "targets"] == [t.pose for t in targets]
    if targets:
        assert outputs.next(PoseStamped, "/lerf/grasp_target").pose == targets[0].pose


def test_the_heat_lies_over_the_live_image(outputs: Outputs) -> None:
    got: list[Image] = []
    subscription = outputs.client.create_subscription(Image, "/lerf/relevancy_image", got.append, STREAM)

    def shown() -> bool:
        outputs.client.send_frame(x=0.15)
        outputs.client.next_status()
        return bool(got)

    wait_until(shown, "a picture")
    outputs.client.destroy_subscription(subscription)
    assert (got[0].encoding, got[0].width, got[0].height) == ("rgb8", 64, 48)
    assert got[0].header.frame_id == CAMERA
    assert got[0].header.stamp.sec > 0
    assert len(np.unique(np.frombuffer(got[0].data, np.uint8).reshape(-1, 3), axis=0)) > 2


def test_prompts_change_while_it_runs_and_old_topics_go(outputs: Outputs) -> None:
    wait_until(lambda: outputs.topics() == {"/lerf/relevancy/prompt_0", "/lerf/relevancy/prompt_1"}, "two topics")
    assert outputs.set_prompts("blue square") == (True, "")
    wait_until(lambda: outputs.topics() == {"/lerf/relevancy/prompt_0"}, "one topic")
    cloud = outputs.next(PointCloud2, "/lerf/relevancy/prompt_0")
    asked = outputs.client.ask(prompts=["blue square"]).results[0]
    points, _, relevancy = cloud_arrays(cloud)
    known = {tuple(p): r for p, r in zip(points.tolist(), relevancy.tolist(), strict=True)}
    theirs, _, values = cloud_arrays(asked.cloud)
    np.testing.assert_allclose([known[tuple(p)] for p in theirs.tolist()], values, atol=1e-6)
    assert outputs.set_prompts("")[0], "one empty text: none"
    wait_until(lambda: outputs.topics() == set(), "no topic")
    assert outputs.set_prompts("red mug", "floor")[0]
    wait_until(lambda: len(outputs.topics()) == 2, "two topics again")


@pytest.mark.parametrize(
    ("phrases", "reason"),
    [
        ([f"thing {n}" for n in range(200)], "200 phrases are more than outputs.max_prompts = 16"),
        (["mug", ""], "phrase 1, the phrase is empty"),
        (["mug", "  "], "only white space"),
        (["mug", "cup", "mug"], "phrases 0 and 2 are both 'mug'"),
        (["x" * 2000], "the phrase has 2000 bytes, more than query.max_phrase_bytes = 1024"),
        (["not a mug"], "says only what it is not"),
    ],
)
def test_prompts_that_cannot_be_had_are_refused_and_the_old_ones_stay(
    outputs: Outputs, phrases: list[str], reason: str
) -> None:
    accepted, told = outputs.set_prompts(*phrases)
    assert not accepted
    assert reason in told
    assert len(outputs.topics()) == 2
    assert outputs.client.ask(prompts=["red mug"]).results[0].message is not None


class Doctor:
    """Listens to /diagnostics."""

    def __init__(self, client: LerfClient) -> None:
        self.client = client
        self.subjects: dict[str, DiagnosticStatus] = {}
        self.arrays: list[tuple[float, DiagnosticArray]] = []
        self.subscription = client.create_subscription(DiagnosticArray, "/diagnostics", self._on_array, 10)

    def _on_array(self, array: DiagnosticArray) -> None:
        self.arrays.append((time.monotonic(), array))
        self.subjects = {status.name: status for status in array.status}

    def camera(self) -> tuple[bytes, str]:
        status = self.subjects.get("lerf: camera")
        return (status.level, status.message) if status else (b"", "")

    def wait(self, level: bytes, text: str, timeout_s: float, send: bool = False) -> float:
        """Return how long it took until the camera was said to be so."""
        begin = time.monotonic()

        def said() -> bool:
            if send:
                self.client.send_frame(x=0.15)
            self.client._spin()
            now, told = self.camera()
            return now == level and text in told

        wait_until(said, f"{level!r} {text!r}, but {self.camera()}", timeout_s)
        return time.monotonic() - begin


def test_diagnostics_tell_of_a_camera_that_stops_and_comes_back(outputs: Outputs) -> None:
    doctor = Doctor(outputs.client)
    doctor.wait(DiagnosticStatus.OK, "images a second", 10, send=True)
    names = ["camera", "images", "transforms", "training", "map", "queries", "self-check"]
    assert list(doctor.subjects) == [f"lerf: {name}" for name in names]
    assert {status.hardware_id for status in doctor.subjects.values()} == {"/lerf"}
    values = {v.key: v.value for v in doctor.subjects["lerf: training"].values}
    assert float(values["PSNR, dB"]) > 0
    assert int(values["keyframes"]) >= 4
    took_s = doctor.wait(DiagnosticStatus.WARN, "no image for 1.", 5)
    assert took_s < 2.0
    assert "on /image: is the driver running" in doctor.camera()[1]
    doctor.wait(DiagnosticStatus.ERROR, "no image for 5.", 10)
    doctor.wait(DiagnosticStatus.OK, "images a second", 5, send=True)
    gaps = np.diff([at for at, _ in doctor.arrays])
    assert gaps.max() < 2.0, "once a second at least"
    outputs.client.destroy_subscription(doctor.subscription)


def test_diagnostics_tell_of_images_without_transforms(outputs: Outputs) -> None:
    doctor = Doctor(outputs.client)

    def told() -> bool:
        outputs.client.image.publish(no_pose(outputs.client))
        outputs.client._spin()
        status = doctor.subjects.get("lerf: transforms")
        return status is not None and status.level != DiagnosticStatus.OK

    def no_pose(client: LerfClient) -> Image:
        from ros.lerf_client import INTRINSICS, floor

        from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
        from lerf_ros.ros.cameras.models import info_from_intrinsics

        stamp_ns = client.now_ns()
        client.info.publish(info_from_intrinsics(INTRINSICS, "unheard_of_optical_frame", stamp_ns))
        client.depth.publish(image_from_depth(np.full((48, 64), 0.6, np.float32), CAMERA, stamp_ns))
        return image_from_rgb(floor(0, 0), "unheard_of_optical_frame", stamp_ns)

    wait_until(told, "a warning")
    assert "unheard_of_optical_frame" in doctor.subjects["lerf: transforms"].message
    outputs.client.destroy_subscription(doctor.subscription)


def test_inactive_it_says_so_and_still_shows_the_map(outputs: Outputs) -> None:
    doctor, client = Doctor(outputs.client), outputs.client
    change = client.create_client(ChangeState, "/lerf/change_state")
    assert change.wait_for_service(10)

    def go(transition: int) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        assert client._result(change.call_async(request)).success  # type: ignore[attr-defined]

    go(Transition.TRANSITION_DEACTIVATE)
    doctor.wait(DiagnosticStatus.OK, "inactive", 5)
    assert "inactive" in doctor.subjects["lerf: training"].message
    assert len(cloud_arrays(outputs.next(PointCloud2, "/lerf/cloud"))[0]) > 500
    assert outputs.next(MarkerArray, "/lerf/markers").markers
    go(Transition.TRANSITION_ACTIVATE)
    doctor.wait(DiagnosticStatus.WARN, "no image yet on /image", 5)
    client.destroy_subscription(doctor.subscription)


def test_a_reset_takes_back_what_was_shown(outputs: Outputs) -> None:
    client, got, late = outputs.client, [], []
    here = [client.create_subscription(PointCloud2, "/lerf/cloud", got.append, LATCHED),
            client.create_subscription(MarkerArray, "/lerf/markers", got.append, LATCHED)]  # fmt: skip
    wait_until(lambda: client._spin() and len(got) >= 2, "cloud and markers")
    got.clear()
    reset = client.create_client(Trigger, "/lerf/reset")
    assert reset.wait_for_service(10)
    assert client._result(reset.call_async(Trigger.Request())).success  # type: ignore[attr-defined]
    wait_until(lambda: client._spin() and len(got) >= 2, "both taken back")
    kinds = {type(message): message for message in got}
    assert kinds[PointCloud2].width == 0
    assert [m.action for m in kinds[MarkerArray].markers] == [Marker.DELETEALL]
    here.append(client.create_subscription(PointCloud2, "/lerf/cloud", late.append, LATCHED))
    client.next_status()
    client.next_status()
    assert not late, "there is nothing to show"
    for n in range(4):
        client.send_frame(x=0.1 * n - 0.15)
        wait_until(lambda n=n: client.next_status().keyframes > n, f"keyframe {n}")
    wait_until(lambda: client._spin() and any(c.width > 500 for c in late), "a new map")
    for subscription in here:
        client.destroy_subscription(subscription)
    assert outputs.program.alive
    assert "Traceback" not in outputs.program.output
