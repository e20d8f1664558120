# SPDX-License-Identifier: Apache-2.0
"""Publishes `~/status` at a steady pace, inactive as well as active."""

import rclpy
from rclpy.clock import Clock, ClockType

from lerf_ros.config import Config
from lerf_ros.msg import Status
from lerf_ros.ros.cameras.inputs import CameraInputs
from lerf_ros.ros.outputs.look import stale_points
from lerf_ros.ros.outputs.status import status_message
from lerf_ros.ros.site import Site


class Heartbeat:
    """The part that tells how the node is doing."""

    def __init__(self, site: Site, cameras: CameraInputs) -> None:
        self._site = site
        self._cameras = cameras
        self._status = site.node.create_publisher(Status, "~/status", 1)
        self._timer = site.node.create_timer(
            site.settings.now.runtime.status_period_s,
            self._publish,
            clock=Clock(clock_type=ClockType.STEADY_TIME),  # goes on when simulated time stands still
        )
        site.settings.watch(self._follow)

    def activate(self) -> None:
        """Nothing to begin."""

    def deactivate(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Fall silent."""
        self._site.node.destroy_timer(self._timer)
        self._site.node.destroy_publisher(self._status)

    def _follow(self, config: Config) -> None:
        """Keep to the period that is asked for."""
        self._timer.timer_period_ns = int(config.runtime.status_period_s * 1e9)

    def _publish(self) -> None:
        if not rclpy.ok():
            return
        site = self._site
        self._cameras.look()
        frame_id = site.settings.now.input.world_frame
        status = status_message(
            site.loop.stats(), self._cameras.unmatched, site.encoder, site.check.warnings, frame_id,
            self._cameras.rates(), stale_points(site.loop.snapshot()),
        )  # fmt: skip
        status.header.stamp = site.node.get_clock().now().to_msg()
        self._status.publish(status)
