# SPDX-License-Identifier: Apache-2.0
"""Plays a bag in its own time: messages when they came, /clock a hundred times a second, from the start as often as
asked."""

import dataclasses
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lerf_ros.data.bag import Bag, Recorded
from lerf_ros.data.bag_topics import BagTopics, Wanted, is_static
from lerf_ros.errors import DatasetError

if TYPE_CHECKING:
    from lerf_ros.ros.bag_player import BagPlayer

TICK_S = 0.01
APART_NS = 1_000_000_000
"""A recorder's clock further from the images' stamps was another clock: /clock then goes by the stamps."""


@dataclasses.dataclass(frozen=True)
class BagPlan:
    """How a bag is played.

    Attributes:
        rate: speed; 1 as recorded.
        loop: start again at the end, until interrupted; /clock jumps back then.
        clock: publish /clock.
        wait_s: how long to wait for subscribers.
        recorded_names: publish on the topics of the recording instead of the node's.
    """

    rate: float
    loop: bool
    clock: bool
    wait_s: float
    recorded_names: bool


def replay_bag(path: Path, wanted: Wanted, plan: BagPlan) -> int:
    """Play until the end or until interrupted; return how many images were published.

    Raises:
        DatasetError: the bag cannot be read, or nobody listens.
    """
    import rclpy
    from rclpy.executors import ExternalShutdownException

    from lerf_ros.ros.bag_player import BagPlayer
    from lerf_ros.ros.transport import use_profile

    with Bag(path) as bag:
        topics = bag.choose(wanted)
        use_profile()
        rclpy.init()
        node = BagPlayer(topics.streams(), bag.types, plan.recorded_names, plan.clock)
        images = 0
        try:
            offset_ns = _clock_offset(bag, topics)
            _wait_for_subscribers(node, plan, bag.span_ns[0] + offset_ns)
            for _ in itertools.count() if plan.loop else (0,):
                images += sum(message.topic == topics.image for message in _play(node, bag, topics, plan, offset_ns))
            node.wait_delivered(10.0)
            rclpy.spin_once(node, timeout_sec=1.0)  # best-effort subscribers fetch what is left
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        finally:
            node.destroy_node()
            rclpy.try_shutdown()
    return images


def _play(
    node: "BagPlayer", bag: Bag, topics: BagTopics, plan: BagPlan, offset_ns: int
) -> Iterator[Recorded]:
    """Publish everything once, yielding what was published: first what lasts, then the rest when it is due."""
    import rclpy

    lasting = [*filter(is_static, topics.transforms), *filter(None, [topics.robot_description])]
    first_ns, begin = bag.span_ns[0], time.monotonic()
    node.tell_time(first_ns + offset_ns)
    for message in bag.messages(lasting):
        node.publish(message.topic, message.cdr)
        yield message
    for message in bag.messages([topic for topic in topics.streams() if topic not in lasting]):
        due = begin + (message.log_ns - first_ns) / 1e9 / plan.rate
        while (left := due - time.monotonic()) > 0:
            rclpy.spin_once(node, timeout_sec=min(left, TICK_S))
            now_ns = first_ns + int((time.monotonic() - begin) * 1e9 * plan.rate)
            node.tell_time(min(now_ns, message.log_ns) + offset_ns)
        node.publish(message.topic, message.cdr)
        yield message


def _clock_offset(bag: Bag, topics: BagTopics) -> int:
    """Return what to add to the recorder's time to be in the time of the stamps; 0 where they are the same clock."""
    from rclpy.serialization import deserialize_message

    from lerf_ros.ros.cameras.frame import nanoseconds
    from lerf_ros.ros.recorded import KINDS

    first = next(bag.messages([topics.camera_info]))
    stamp_ns = nanoseconds(deserialize_message(first.cdr, KINDS[bag.types[topics.camera_info]]).header.stamp)
    return stamp_ns - first.log_ns if abs(stamp_ns - first.log_ns) > APART_NS else 0


def _wait_for_subscribers(node: "BagPlayer", plan: BagPlan, begin_ns: int) -> None:
    """Wait until somebody listens; time stands still meanwhile, but it is told."""
    import rclpy

    deadline = time.monotonic() + plan.wait_s
    while not node.has_subscribers():
        if time.monotonic() > deadline:
            raise DatasetError(
                f"nobody subscribed to images, camera info and poses within {plan.wait_s:g} s: is the node running"
                f"{' with use_sim_time' if plan.clock else ''}?"
            )
        node.tell_time(begin_ns)
        rclpy.spin_once(node, timeout_sec=0.1)
