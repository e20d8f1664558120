# SPDX-License-Identifier: Apache-2.0
"""Simulated time that is not there yet, runs, stands still, jumps back and begins anew: the node takes all of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros.lerf_client import LerfClient
from ros.test_node import SMALL
from ros_processes import Program, lerf_node, wait_until
from rosgraph_msgs.msg import Clock
from tiny_clip_model import write_model

from lerf_ros.msg import QueryResult

pytestmark = pytest.mark.ros
SECOND = 10**9


class Time(LerfClient):
    """A client that also makes the time."""

    def __init__(self) -> None:
        super().__init__()
        self.start_clock()

    def start_clock(self) -> None:
        self.clock = self.create_publisher(Clock, "/clock", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))

    def tick(self, seconds: float) -> None:
        """Make it so late, and wait until the node knows."""
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(round(seconds * SECOND), SECOND)
        wait_until(lambda: self.clock.get_subscription_count() > 0, "the node's subscription to /clock")

        def known() -> bool:
            self.clock.publish(message)
            return abs(stamp_s(self.next_status().header.stamp) - seconds) < 1e-6

        wait_until(known, f"{seconds} s")

    def maps(self, seconds: float, x: float) -> None:
        """Have the node map one more frame taken at that time."""
        keyframes = self.next_status().keyframes
        self.send_frame(x=x, stamp_ns=round(seconds * SECOND))
        wait_until(lambda: self.next_status().keyframes == keyframes + 1, f"a keyframe at {seconds} s: {self.drops()}")


def stamp_s(stamp: object) -> float:
    return float(stamp.sec + stamp.nanosec / SECOND)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def program(ros: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    encoder = f"local-dir:{write_model(tmp_path_factory.mktemp('encoder') / 'tiny')}"
    with lerf_node(ros / "clock.log", {**SMALL, "encoder.model": encoder, "use_sim_time": True}) as program:
        yield program


@pytest.fixture(scope="module")
def client(program: Program) -> Iterator[Time]:
    made = Time()
    made.wait_ready()
    yield made
    made.destroy_node()


def test_before_time_begins_it_lives_and_answers(client: Time) -> None:
    assert stamp_s(client.next_status().header.stamp) == 0.0
    assert client.ask(prompts=["red mug"]).results[0].status == QueryResult.NOT_READY
    assert client.set_training(True).success
    client.send_frame(stamp_ns=50 * SECOND)
    wait_until(lambda: client.next_status() and client.drops().get("stamp_in_future") == 1, "refused")


def test_frames_are_mapped_by_simulated_time(client: Time) -> None:
    for n in range(3):
        client.tick(100.0 + n)
        client.maps(100.0 + n, x=0.1 * n)
    wait_until(lambda: client.ask(prompts=["red mug"]).results[0].status == QueryResult.FOUND, "an answer")
    assert client.ask(prompts=["red mug"]).map_stamp.sec == 102


def test_time_that_stands_still_stops_nothing(client: Time) -> None:
    client.maps(102.0, x=0.3)
    steps = client.next_status().step
    assert client.set_training(False).success
    assert client.set_training(True).success
    client.maps(102.0, x=-0.3)
    wait_until(lambda: client.next_status().step > steps, "training goes on")
    assert client.ask(prompts=["red mug"]).results[0].status == QueryResult.FOUND


def test_time_that_jumps_back_is_a_recording_that_begins_anew(client: Time, program: Program) -> None:
    client.next_status()
    drops = dict(client.drops())
    client.tick(10.0)
    wait_until(lambda: "time jumped back by 92.000 s" in program.output, "said so")
    for n in range(3):
        client.tick(10.0 + n)
        client.maps(10.0 + n, x=0.1 * n - 0.15)
    assert client.drops() == drops, "transforms and images of the time before are in nobody's way"
    assert client.ask(prompts=["red mug"]).results[0].status == QueryResult.FOUND
    assert client.status.fault == ""


def test_a_clock_that_is_restarted_far_ahead_is_followed(client: Time, program: Program) -> None:
    client.destroy_publisher(client.clock)
    client.start_clock()
    client.tick(5000.0)
    client.maps(5000.0, x=0.25)
    assert client.ask(prompts=["red mug"]).results[0].status == QueryResult.FOUND
    assert program.alive
    assert program.stop() == 0, program.output
    assert "Traceback" not in program.output
