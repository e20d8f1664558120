# SPDX-License-Identifier: Apache-2.0
"""Which of a bag's topics are a camera's image, its info, its depth, and where its poses come from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lerf_ros.errors import DatasetError

TF = "tf2_msgs/msg/TFMessage"
POSE = "geometry_msgs/msg/PoseStamped"
ODOMETRY = "nav_msgs/msg/Odometry"
STRING = "std_msgs/msg/String"
DEPTH_ENCODINGS = ("16UC1", "32FC1", "mono16")
GREY = ("mono8", "8UC1")
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFOS = ("sensor_msgs/msg/CameraInfo",)


@dataclass(frozen=True)
class Sample:
    """What the first message of a topic tells: its type, encoding (or format), frame, and (width, height)."""

    kind: str
    encoding: str
    frame: str
    size: tuple[int, int]

    @property
    def is_depth(self) -> bool:
        """Return whether it is a depth image."""
        if self.kind == "CompressedImage":
            return "compressedDepth" in self.encoding
        return self.kind == "Image" and self.encoding in DEPTH_ENCODINGS

    @property
    def is_colour(self) -> bool:
        """Return whether it is an image, but not of depth."""
        return self.kind in ("Image", "CompressedImage") and not self.is_depth


@dataclass(frozen=True)
class Wanted:
    """Topics that the user names (empty: found by type), the source of poses, and whether depth is wanted."""

    image: str = ""
    camera_info: str = ""
    depth: str = ""
    pose: str = ""
    pose_source: str = ""
    use_depth: bool = True


@dataclass(frozen=True)
class BagTopics:
    """What a map is made of; empty: none.

    Attributes:
        pose_source: "tf", "pose" or "odometry".
        pose: topic of the latter two.
        transforms: topics of moving and of static transforms.
        robot_description: of the self-filter.
    """

    image: str
    camera_info: str
    depth: str
    depth_info: str
    pose_source: str
    pose: str
    transforms: tuple[str, ...]
    robot_description: str

    def streams(self) -> dict[str, str]:
        """Return what each topic brings, by the names the node gives its own topics."""
        named = {
            self.image: "image", self.camera_info: "camera_info", self.depth: "depth",
            self.depth_info: "depth_camera_info", self.pose: self.pose_source,
            self.robot_description: "robot_description",
        }  # fmt: skip
        named |= {topic: "tf_static" if is_static(topic) else "tf" for topic in self.transforms}
        named.pop("", None)
        return named


def is_static(topic: str) -> bool:
    """Return whether a topic of transforms is one of static ones."""
    return topic.rstrip("/").endswith("tf_static")


def choose(bag: str, types: Mapping[str, str], samples: Mapping[str, Sample], wanted: Wanted) -> BagTopics:
    """Return the topics to use.

    Args:
        bag: what messages call it.
        types: of all topics.
        samples: of all image and camera info topics that have a message.

    Raises:
        DatasetError: a named topic does not exist, is of another type or has no messages; or a topic cannot be told
            from others.
    """
    image = _image(bag, types, samples, wanted.image)
    info = _info(bag, types, samples, image, wanted.camera_info)
    depth = _depth(bag, types, samples, image, wanted.depth) if wanted.use_depth else ""
    beside = _beside(depth) if depth else ""
    depth_info = beside if beside in samples and beside != info and samples[beside].kind == "CameraInfo" else ""
    transforms = tuple(sorted(topic for topic, kind in types.items() if kind == TF))
    source, pose = _pose(bag, types, wanted, transforms)
    text = next((t for t, kind in sorted(types.items()) if kind == STRING and t.endswith("robot_description")), "")
    return BagTopics(image, info, depth, depth_info, source, pose, transforms, text)


def _image(bag: str, types: Mapping[str, str], samples: Mapping[str, Sample], named: str) -> str:
    if named:
        return _sampled(bag, samples, _named(bag, types, named, "--image", IMAGES), "--image")
    colour = {topic: s for topic, s in samples.items() if s.is_colour}
    coloured = {topic for topic, s in colour.items() if s.encoding not in GREY}
    candidates = coloured or set(colour)
    raw = {topic for topic in candidates if samples[topic].kind == "Image"}
    return _only(bag, types, raw or candidates, "image", "--image")


def _info(bag: str, types: Mapping[str, str], samples: Mapping[str, Sample], image: str, named: str) -> str:
    if named:
        return _sampled(bag, samples, _named(bag, types, named, "--camera-info", INFOS), "--camera-info")
    infos = {topic: s for topic, s in samples.items() if s.kind == "CameraInfo"}
    if not infos:
        raise DatasetError(f"{bag} has no camera info, so nothing is known of its camera: {_listed(types)}")
    if (beside := _beside(image)) in infos:
        return beside
    like = samples[image]
    same = {t for t, s in infos.items() if s.frame == like.frame and like.size in (s.size, (0, 0))}
    return _only(bag, types, same or set(infos), "camera info", "--camera-info")


def _depth(bag: str, types: Mapping[str, str], samples: Mapping[str, Sample], image: str, named: str) -> str:
    if named:
        return _sampled(bag, samples, _named(bag, types, named, "--depth-topic", IMAGES), "--depth-topic")
    depths = {topic for topic, s in samples.items() if s.is_depth}
    registered = {t for t in depths if samples[t].frame == samples[image].frame}
    raw = {t for t in registered or depths if samples[t].kind == "Image"}
    candidates = raw or registered or depths
    return _only(bag, types, candidates, "depth image", "--depth-topic") if candidates else ""


def _pose(
    bag: str, types: Mapping[str, str], wanted: Wanted, transforms: tuple[str, ...]
) -> tuple[str, str]:
    """Return the source of poses, and its topic where it is not /tf."""
    kinds = {"pose": POSE, "odometry": ODOMETRY}
    source = wanted.pose_source
    if wanted.pose:
        _named(bag, types, wanted.pose, "--pose-topic", tuple(kinds.values()))
        return next(name for name, kind in kinds.items() if kind == types[wanted.pose]), wanted.pose
    if source == "tf" or (not source and any(not is_static(topic) for topic in transforms)):
        if not transforms:
            raise DatasetError(f"{bag} has no transforms, so no poses: {_listed(types)}")
        return "tf", ""
    for name, kind in kinds.items():
        topics = {topic for topic, each in types.items() if each == kind}
        if source == name or (not source and topics):
            return name, _only(bag, types, topics, name, "--pose-topic")
    if transforms:
        return "tf", ""  # all static: a camera that stands
    raise DatasetError(f"{bag} has no poses: neither transforms, nor PoseStamped, nor Odometry: {_listed(types)}")


def _named(bag: str, types: Mapping[str, str], topic: str, option: str, kinds: tuple[str, ...]) -> str:
    if topic not in types:
        raise DatasetError(f"{bag} has no topic {topic} ({option}): {_listed(types)}")
    if types[topic] not in kinds:
        raise DatasetError(f"{bag}: {topic} ({option}) is {types[topic]}, not {' or '.join(kinds)}")
    return topic


def _sampled(bag: str, samples: Mapping[str, Sample], topic: str, option: str) -> str:
    if topic not in samples:
        raise DatasetError(f"{bag}: {topic} ({option}) has no messages; those that have: {', '.join(sorted(samples))}")
    return topic


def _only(bag: str, types: Mapping[str, str], topics: Iterable[str], what: str, option: str) -> str:
    found = sorted(topics)
    if not found:
        raise DatasetError(f"{bag} has no topic with an {what}: {_listed(types)}")
    if len(found) > 1:
        raise DatasetError(f"{bag} has several topics that may be the {what}: {', '.join(found)}; choose with {option}")
    return found[0]


def _beside(topic: str) -> str:
    """Return the camera info that belongs to an image by name: beside it, or beside the raw one of a compressed."""
    parts = topic.split("/")
    if parts[-1] in ("compressed", "compressedDepth"):
        parts = parts[:-1]
    return "/".join([*parts[:-1], "camera_info"])


def _listed(types: Mapping[str, str]) -> str:
    return "it has " + (", ".join(f"{topic} ({kind})" for topic, kind in sorted(types.items())) or "no topics")
