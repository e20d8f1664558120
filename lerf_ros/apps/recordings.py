# SPDX-License-Identifier: Apache-2.0
"""Posed images of a ROS 2 bag, as many as a map keeps, and what became of the rest."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from lerf_ros.config import Config
from lerf_ros.core.keyframes import MotionGate, PosedImage
from lerf_ros.core.redundancy import Redundancy
from lerf_ros.data.bag import Bag
from lerf_ros.data.bag_topics import BagTopics, Wanted, is_static
from lerf_ros.errors import DatasetError
from lerf_ros.ros.recorded import Recording


@dataclasses.dataclass(frozen=True)
class BagImages:
    """What a bag gave.

    Attributes:
        images: with enough motion between them, the least telling left out where there were more than asked for.
        topics: that they were made of.
        dropped: frames that could not be used, by cause.
    """

    images: list[PosedImage]
    topics: BagTopics
    dropped: dict[str, int]


def read_bag(path: Path, wanted: Wanted, config: Config, keep: int) -> BagImages:
    """Read a bag, in which `config.input` says where poses are and `config.keyframes` how far images are apart.

    Raises:
        DatasetError: it cannot be read, its topics cannot be told apart, or not one image can be used: the reason most
            of them were refused for is told.
    """
    with Bag(path) as bag:
        topics = bag.choose(wanted)
        section = dataclasses.replace(
            config.input, pose_source=topics.pose_source, use_depth=bool(topics.depth), cameras=()
        )
        recording = Recording(dataclasses.replace(config, input=section), topics.streams(), bag.types)
        lasting = [*filter(is_static, topics.transforms), *filter(None, [topics.robot_description])]
        recording.hear(bag.messages(lasting))
        moving = [topic for topic in topics.streams() if topic not in lasting]
        images = _telling(recording.images(bag.messages(moving)), config, keep)
    if not images:
        raise DatasetError(f"{path}: {_why_none(recording, topics)}")
    return BagImages(images, topics, dict(recording.dropped))


def _telling(images: Iterable[PosedImage], config: Config, keep: int) -> list[PosedImage]:
    """Return the images that the node would make keyframes of, in order."""
    gate, redundancy = MotionGate(config.keyframes), Redundancy()
    kept: list[PosedImage] = []
    for image in images:
        if not gate.has_moved(image):
            continue
        gate.remember(image)
        redundancy.add(image.T_world_cam)
        kept.append(image)
        if len(kept) > keep:
            least = redundancy.most_redundant()
            redundancy.remove(least)
            del kept[least]
    return kept


def _why_none(recording: Recording, topics: BagTopics) -> str:
    if not recording.dropped:
        needed = " and ".join(filter(None, (topics.camera_info, topics.depth)))
        return f"no image on {topics.image} has the stamp (within input.sync_slop_s) of messages on {needed}"
    cause, count = recording.dropped.most_common(1)[0]
    said = recording.reasons.get(cause)
    if said is None:
        return f"not one image could be used; {count} of them found no partner ({cause}): are the stamps alike?"
    return f"not one image could be used; {count} because ({cause}) {said}"
