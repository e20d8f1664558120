# SPDX-License-Identifier: Apache-2.0
"""What a bag holds is found by type; what cannot be is refused in words that name the remedy."""

from pathlib import Path

import pytest
from bags import camera_entries, odometry_entries, pose_entries, storage_file, transform_entries, write_bag

from lerf_ros.data.bag import Bag, is_bag
from lerf_ros.data.bag_topics import BagTopics, Wanted
from lerf_ros.errors import DatasetError

pytest.importorskip("rclpy", reason="the bags are written with ROS's own messages")


@pytest.fixture(scope="module", params=["mcap", "sqlite3"])
def bag(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bags") / "bag"
    return write_bag(folder, camera_entries() + transform_entries(), request.param)


def chosen(path: Path, wanted: Wanted | None = None) -> BagTopics:
    with Bag(path) as bag:
        return bag.choose(wanted or Wanted())


def refusal(path: Path, wanted: Wanted | None = None) -> str:
    with pytest.raises(DatasetError) as caught:
        chosen(path, wanted)
    return str(caught.value)


def test_topics_are_found_by_type(bag: Path) -> None:
    found = chosen(bag)
    assert found.image == "/camera/color/image_raw"
    assert found.camera_info == "/camera/color/camera_info"
    assert found.depth == "/camera/depth/image"
    assert found.pose_source == "tf"
    assert found.transforms == ("/tf", "/tf_static")
    assert found.streams() == {
        "/camera/color/image_raw": "image", "/camera/color/camera_info": "camera_info",
        "/camera/depth/image": "depth", "/tf": "tf", "/tf_static": "tf_static",
    }  # fmt: skip
    assert chosen(bag, Wanted(use_depth=False)).depth == ""


def test_messages_come_in_the_order_of_their_arrival(bag: Path) -> None:
    with Bag(bag) as opened:
        times = [message.log_ns for message in opened.messages(list(opened.types))]
        assert len(times) == 41
        assert times == sorted(times)
        assert opened.span_ns == (times[0], times[-1])
        assert not list(opened.messages(["/nothing"]))


def test_a_storage_file_alone_is_a_bag(bag: Path) -> None:
    file = storage_file(bag)
    assert is_bag(file)
    assert is_bag(bag)
    assert not is_bag(bag.parent)
    assert is_bag(bag.parent / "old.bag"), "so that what refuses it is the reader of bags, who knows the remedy"
    assert chosen(file) == chosen(bag)


def test_poses_come_from_a_topic_where_there_are_no_transforms(tmp_path: Path) -> None:
    found = chosen(write_bag(tmp_path / "pose", camera_entries() + pose_entries()))
    assert (found.pose_source, found.pose) == ("pose", "/tracker/pose")
    found = chosen(write_bag(tmp_path / "odometry", camera_entries() + odometry_entries()))
    assert (found.pose_source, found.pose) == ("odometry", "/odom")
    both = write_bag(tmp_path / "both", camera_entries() + transform_entries() + pose_entries())
    assert chosen(both).pose_source == "tf"
    assert chosen(both, Wanted(pose_source="pose")).pose == "/tracker/pose"
    assert chosen(both, Wanted(pose="/tracker/pose")).pose_source == "pose"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted(image="/nope"), "has no topic /nope (--image): it has /camera/color/camera_info (sensor_msgs"),
        (Wanted(image="/tf"), "/tf (--image) is tf2_msgs/msg/TFMessage, not sensor_msgs/msg/Image"),
        (Wanted(camera_info="/camera/color/image_raw"), "(--camera-info) is sensor_msgs/msg/Image"),
        (Wanted(pose="/tf"), "(--pose-topic) is tf2_msgs/msg/TFMessage"),
        (Wanted(pose_source="odometry"), "no topic with an odometry"),
    ],
)
def test_a_wrong_topic_is_named_with_what_there_is(bag: Path, wanted: Wanted, says: str) -> None:
    assert says in refusal(bag, wanted)


def test_what_a_map_needs_and_is_not_there_is_named(tmp_path: Path) -> None:
    images, transforms = camera_entries(), transform_entries()
    without_info = [entry for entry in images if not entry[1].endswith("camera_info")]
    assert "has no camera info" in refusal(write_bag(tmp_path / "info", without_info + transforms))
    assert "has no poses" in refusal(write_bag(tmp_path / "poses", images))
    assert "no topic with an image" in refusal(write_bag(tmp_path / "image", transforms))
    two = images + camera_entries("/other") + transforms
    assert "/camera/color/image_raw, /other/image_raw; choose with --image" in refusal(write_bag(tmp_path / "two", two))
    assert chosen(tmp_path / "two", Wanted(image="/other/image_raw")).camera_info == "/other/camera_info"


@pytest.mark.parametrize(
    ("topic", "kind", "wanted", "option"),
    [
        ("/silent/image", "sensor_msgs/msg/Image", Wanted(image="/silent/image"), "--image"),
        ("/silent/info", "sensor_msgs/msg/CameraInfo", Wanted(camera_info="/silent/info"), "--camera-info"),
        ("/silent/depth", "sensor_msgs/msg/Image", Wanted(depth="/silent/depth"), "--depth-topic"),
        ("/silent/pose", "geometry_msgs/msg/PoseStamped", Wanted(pose="/silent/pose"), "--pose-topic"),
    ],
)
def test_a_named_topic_without_messages_is_refused(
    tmp_path: Path, topic: str, kind: str, wanted: Wanted, option: str
) -> None:
    path = write_bag(tmp_path / "bag", camera_entries() + transform_entries(), silent={topic: kind})
    assert f"{topic} ({option}) has no messages" in refusal(path, wanted)


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.mcap"
    text.write_text("these are no messages" * 99)
    assert "cannot be opened as a bag" in refusal(text)
    database = tmp_path / "notes.db3"
    database.write_text("neither are these" * 99)
    assert "bag" in refusal(database)
    assert "ROS 1" in refusal(tmp_path / "old.bag")
    assert "no ROS 2 bag" in refusal(tmp_path)
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 99}")
    assert "cannot be opened as a bag" in refusal(tmp_path)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_bag_that_was_cut_off_says_so(tmp_path: Path, storage: str, share: float) -> None:
    folder = write_bag(tmp_path / "bag", camera_entries() + transform_entries(), storage)
    file = storage_file(folder)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])

    def read() -> None:
        with Bag(folder) as bag:
            list(bag.messages(list(bag.types)))

    with pytest.raises(DatasetError, match=r"cannot be opened as a bag|is damaged after"):
        read()
