# SPDX-License-Identifier: Apache-2.0
"""Topics of one and of several cameras, over real DDS: names, transports, QoS, rates, and what is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_processes import wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lerf_ros.config import from_flat
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.errors import ConfigError
from lerf_ros.ros.cameras.compressed import compressed_from_depth, compressed_from_rgb
from lerf_ros.ros.cameras.frame import Frame
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.inputs import CameraInputs
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.cameras.streams import CameraStreams, Rate, check_topics
from lerf_ros.ros.selfcheck.check import SelfCheck
from lerf_ros.ros.settings import Settings

CAMERA = Intrinsics(8, 6, 8.0, 8.0, 3.5, 2.5)
RGB = np.full((6, 8, 3), 50, np.uint8)
DEPTH_M = np.full((6, 8), 0.5, np.float32)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class FakeLoop:
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.causes: list[str] = []
        self.seconds: list[float] = []

    def submit(self, frame: Frame) -> None:
        self.frames.append(frame)

    def drop(self, cause: str, count: int = 1) -> None:
        self.causes += [cause] * count

    def received_in(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Listening:
    """The part on its own, in a node of its own, and a node to publish from."""

    def __init__(self, options: dict[str, object], remappings: tuple[str, ...] = ()) -> None:
        arguments = ["--ros-args", *(a for rule in remappings for a in ("-r", rule))]
        self.node = Node("lerf", cli_args=arguments, use_global_arguments=False)
        self.sender = Node("camera_driver")
        self.loop, self.check = FakeLoop(), SelfCheck()
        config = from_flat({f"input.{key}": value for key, value in options.items()})
        site = SimpleNamespace(node=self.node, settings=Settings(config), loop=self.loop, check=self.check)
        self.inputs = CameraInputs(site)
        self.inputs.activate()
        self._executor = SingleThreadedExecutor()
        for node in (self.node, self.sender):
            self._executor.add_node(node)

    def spin(self) -> None:
        self._executor.spin_once(0.05)

    def publisher(self, kind: type, topic: str, qos: QoSProfile = RELIABLE):  # type: ignore[no-untyped-def]
        made = self.sender.create_publisher(kind, topic, qos)
        wait_until(lambda: self.spin() or made.get_subscription_count() == 1, f"a subscription to {topic}")
        return made

    def close(self) -> None:
        self.inputs.deactivate()
        self.inputs.close()
        self._executor.shutdown()
        for node in (self.node, self.sender):
            node.destroy_node()


@contextmanager
def listening(options: dict[str, object], remappings: tuple[str, ...] = ()) -> Iterator[Listening]:
    made = Listening(options, remappings)
    try:
        yield made
    finally:
        made.close()


def publish_all(to: Listening, publishers: dict[str, object], stamp_ns: int, frame_id: str = "cam") -> None:
    messages = {
        "image": image_from_rgb(RGB, frame_id, stamp_ns),
        "camera_info": info_from_intrinsics(CAMERA, frame_id, stamp_ns),
        "depth": image_from_depth(DEPTH_M, frame_id, stamp_ns),
        "image/compressed": compressed_from_rgb(RGB, frame_id, stamp_ns),
        "depth/compressedDepth": compressed_from_depth(DEPTH_M, frame_id, stamp_ns),
    }
    for stream, publisher in publishers.items():
        publisher.publish(messages[stream])  # type: ignore[attr-defined]


KINDS = {
    "image": Image, "camera_info": CameraInfo, "depth": Image, "image/compressed": CompressedImage,
    "depth/compressedDepth": CompressedImage, "depth_camera_info": CameraInfo,
}  # fmt: skip


@pytest.mark.ros
@pytest.mark.parametrize("offered", [BEST_EFFORT, RELIABLE], ids=["best_effort", "reliable"])
def test_the_default_hears_both_kinds_of_publisher(ros: Path, offered: QoSProfile) -> None:
    with listening({}) as here:
        publishers = {s: here.publisher(KINDS[s], s, offered) for s in ("image", "camera_info", "depth")}
        for n in range(5):
            publish_all(here, publishers, 10**9 + n)
            wait_until(lambda n=n: here.spin() or len(here.loop.frames) > n, f"frame {n}")
        frame = here.loop.frames[0]
        assert (frame.camera, frame.image.header.stamp.sec, frame.depth.encoding) == ("", 1, "16UC1")
        assert here.inputs.rates()[""] > 1
        assert len(here.loop.seconds) == 15
        assert here.check.warnings == []


@pytest.mark.ros
def test_one_that_asks_for_reliable_hears_the_reliable_and_names_the_other(ros: Path) -> None:
    with listening({"reliability": "reliable", "use_depth": False}) as here:
        publishers = {s: here.publisher(KINDS[s], s, RELIABLE) for s in ("image", "camera_info")}
        publish_all(here, publishers, 10**9)
        wait_until(lambda: here.spin() or here.loop.frames, "the frame of reliable publishers")
        unheard = here.sender.create_publisher(Image, "image", BEST_EFFORT)
        wait_until(lambda: here.spin() or here.check.warnings, "the warning")
        assert here.check.warnings[0].startswith("qos_mismatch /image: ")
        here.sender.destroy_publisher(unheard)


@pytest.mark.ros
def test_compressed_topics_are_named_as_image_transport_names_them(ros: Path) -> None:
    options: dict[str, object] = {"image_transport": "compressed", "depth_transport": "compressedDepth"}
    with listening(options, ("image:=/cam/color/image_raw",)) as here:
        publishers = {
            "image/compressed": here.publisher(CompressedImage, "/cam/color/image_raw/compressed", BEST_EFFORT),
            "camera_info": here.publisher(CameraInfo, "camera_info"),
            "depth/compressedDepth": here.publisher(CompressedImage, "depth/compressedDepth"),
        }
        publish_all(here, publishers, 10**9)
        wait_until(lambda: here.spin() or here.loop.frames, "the frame")
        assert here.loop.frames[0].image.format == "rgb8; jpeg compressed bgr8"
        assert here.loop.frames[0].depth.format == "16UC1; compressedDepth png"


@pytest.mark.ros
def test_two_cameras_are_matched_and_counted_each_by_itself(ros: Path) -> None:
    with listening({"cameras": ["wrist", "scene"], "queue_depth": 3}) as here:
        streams = ("image", "camera_info", "depth")
        wrist = {s: here.publisher(KINDS[s], f"wrist/{s}") for s in streams}
        scene = {s: here.publisher(KINDS[s], f"scene/{s}") for s in streams}
        there = here.publisher(CameraInfo, "scene/depth_camera_info")
        there.publish(info_from_intrinsics(CAMERA, "scene_depth", 1))
        del scene["depth"]  # so that no frame of this camera is ever complete
        for n in range(1, 7):
            publish_all(here, scene, n * 10**9)
            publish_all(here, wrist, n * 10**9)  # the same stamps: they must not mix
            wait_until(lambda n=n: here.spin() or len(here.loop.frames) == n, f"frame {n} of the wrist")
        wait_until(lambda: here.spin() or here.inputs.unmatched.get("no_depth", 0) == 3, "the scene's are dropped")
        assert {f.camera for f in here.loop.frames} == {"wrist"}
        assert {f.depth_info for f in here.loop.frames} == {None}
        assert here.inputs.rates()["wrist"] > 0
        scene["depth"] = here.sender.create_publisher(Image, "scene/depth", RELIABLE)
        wait_until(lambda: here.spin() or scene["depth"].get_subscription_count() == 1, "a subscription")
        publish_all(here, scene, 7 * 10**9)
        wait_until(lambda: here.spin() or here.loop.frames[-1].camera == "scene", "a frame of the scene camera")
        assert here.loop.frames[-1].depth_info.header.frame_id == "scene_depth"


@pytest.mark.ros
@pytest.mark.parametrize(
    ("cameras", "rules", "text"),
    [
        (
            ["a", "b"],
            ("a/image:=/cam/image_raw", "b/image:=/cam/image_raw"),
            "a/image and b/image are both the topic /cam",
        ),
        (["a", "b"], ("b/camera_info:=/a/camera_info",), "a/camera_info and b/camera_info are both"),
        ([], ("depth:=image",), "image and depth are both the topic /image"),
    ],
)
def test_two_cameras_with_one_topic_are_refused(
    ros: Path, cameras: list[str], rules: tuple[str, ...], text: str
) -> None:
    with pytest.raises(ConfigError, match=text), listening({"cameras": cameras}, rules):
        pass


@pytest.mark.ros
def test_a_depth_camera_may_be_the_colour_camera(ros: Path) -> None:
    with listening({}, ("depth_camera_info:=camera_info",)) as here:
        check_topics([CameraStreams("", here.inputs._config)], here.node)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["wrist", "wrist"], "'wrist' twice"),
        (["wrist", ""], "''"),
        (["a b"], "'a b'"),
        (["/a"], "'/a'"),
        (["1st"], "1st"),
    ],
)
def test_names_of_cameras_that_cannot_be_topics_are_refused(names: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        from_flat({"input.cameras": names})


def test_no_names_are_one_camera_without_a_name() -> None:
    assert from_flat({"input.cameras": []}).input.camera_names == ("",)
    assert from_flat({"input.cameras": [""]}).input.camera_names == ("",)
    assert from_flat({"input.cameras": ["front/left", "b"]}).input.camera_names == ("front/left", "b")


def test_rates() -> None:
    now = [0.0]
    rate = Rate(lambda: now[0])
    assert rate.hz() == 0
    for _ in range(31):
        rate.count()
        now[0] += 0.1
    assert rate.hz() == pytest.approx(10.0)
    now[0] += 0.8
    assert rate.hz() == pytest.approx(10.0)
    now[0] += 0.2
    assert rate.hz() == 0, "silent for more than a second"
    for _ in range(8):
        rate.count()
        now[0] += 1.0
    assert rate.hz() == pytest.approx(1.0), "those of long ago no longer count"
    now[0] += 1.5
    assert rate.hz() == pytest.approx(1.0), "a slow one is not silent yet"
