# SPDX-License-Identifier: Apache-2.0
"""Simulated time that jumps back: a recording starts again. What waits belongs to the time before, and is dropped."""

import logging

from rclpy.clock import ClockChange, JumpThreshold, TimeJump
from rclpy.duration import Duration

from lerf_ros.errors import MappingStoppedError
from lerf_ros.ros.site import Site

BACK = Duration(seconds=-1)
"""From here on it is no jitter."""

SWITCHED = {ClockChange.ROS_TIME_ACTIVATED: "simulated", ClockChange.ROS_TIME_DEACTIVATED: "the system's"}

_log = logging.getLogger(__name__)


class ClockWatch:
    """The part that tells of it; the map stays. Waits and time-outs go by a steady clock anyway."""

    def __init__(self, site: Site) -> None:
        self._site = site
        threshold = JumpThreshold(min_forward=None, min_backward=BACK, on_clock_change=True)
        self._handle = site.node.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)

    def activate(self) -> None:
        """Nothing to begin."""

    def deactivate(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Watch no more."""
        self._handle.unregister()

    def _on_jump(self, jump: TimeJump) -> None:
        discarded = self._site.loop.discard("clock_jumped")
        try:
            self._site.loop.command(self._site.mapper.time_jumped)
        except MappingStoppedError as error:
            _log.error("%s", error)
        if jump.clock_change in SWITCHED:
            _log.warning("the node now goes by %s time", SWITCHED[jump.clock_change])
            return
        _log.warning(
            "time jumped back by %.3f s: %d waiting frames are dropped, the map is kept (~/reset forgets it)",
            -jump.delta.nanoseconds / 1e9, discarded,
        )  # fmt: skip
