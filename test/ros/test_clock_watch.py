# SPDX-License-Identifier: Apache-2.0
"""What is told of a jump of the clock, and to whom; no node and no process."""

from types import SimpleNamespace
from typing import Any, cast

from rclpy.clock import ClockChange, TimeJump

from lerf_ros.errors import MappingStoppedError
from lerf_ros.ros.clock_watch import ClockWatch
from lerf_ros.ros.site import Site


class Recorder:
    """A clock, a loop and a mapper that write down what they are asked."""

    def __init__(self, *, stopped: bool = False) -> None:
        self.asked: list[Any] = []
        self.stopped = stopped

    def create_jump_callback(self, threshold: object, post_callback: Any) -> None:
        self.jump = post_callback

    def discard(self, cause: str) -> int:
        self.asked.append(cause)
        return 0

    def command(self, function: Any) -> None:
        if self.stopped:
            raise MappingStoppedError("stopped")
        self.asked.append(function)

    def time_jumped(self) -> None:
        """Asked by the trainer thread."""

    def told(self) -> None:
        """Jump back by ten seconds."""
        ClockWatch(cast(Site, SimpleNamespace(node=SimpleNamespace(get_clock=lambda: self), loop=self, mapper=self)))
        back = SimpleNamespace(nanoseconds=-10 * 10**9)
        self.jump(cast(TimeJump, SimpleNamespace(clock_change=ClockChange.ROS_TIME_NO_CHANGE, delta=back)))


def test_the_map_is_told_in_its_own_thread_that_time_jumped_back() -> None:
    recorder = Recorder()
    recorder.told()
    assert recorder.asked == ["clock_jumped", recorder.time_jumped]


def test_a_loop_that_has_stopped_needs_not_be_told() -> None:
    recorder = Recorder(stopped=True)
    recorder.told()
    assert recorder.asked == ["clock_jumped"]
