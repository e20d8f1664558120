# SPDX-License-Identifier: Apache-2.0
"""Publishes `/diagnostics` once a second, and at once when something gets better or worse; inactive, too."""

import time
from collections import Counter
from typing import Final

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType

from lerf_ros.core.memory import available_bytes
from lerf_ros.ros.cameras.inputs import CameraInputs
from lerf_ros.ros.outputs.health import Finding, findings
from lerf_ros.ros.outputs.look import Look, Recent, all_drops, stale_points
from lerf_ros.ros.outputs.status import resident_bytes
from lerf_ros.ros.site import Site

LOOK_S: Final = 0.25
PERIOD_S: Final = 1.0


class Diagnostics:
    """The part that tells how the node is, in words."""

    def __init__(self, site: Site, cameras: CameraInputs) -> None:
        self._site, self._cameras = site, cameras
        self._recent = Recent()
        self._active = False
        self._at, self._levels = 0.0, [(-1, "")]
        self._publisher = site.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = site.node.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def activate(self) -> None:
        """Say what is missing from now on."""
        self._active = True

    def deactivate(self) -> None:
        """Say that the node is inactive."""
        self._active = False

    def close(self) -> None:
        """Fall silent."""
        self._site.node.destroy_timer(self._timer)
        self._site.node.destroy_publisher(self._publisher)

    def _look(self) -> None:
        if not rclpy.ok():
            return
        found = findings(self._observed())
        levels = [(int(each.level), each.subject) for each in found]
        now = time.monotonic()
        if levels == self._levels and now - self._at < PERIOD_S - LOOK_S / 2:
            return
        self._at, self._levels = now, levels
        array = DiagnosticArray(status=[self._status(each) for each in found])
        array.header.stamp = self._site.node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _observed(self) -> Look:
        site = self._site
        stats, snapshot, config = site.loop.stats(), site.loop.snapshot(), site.settings.now
        refused, free = Counter(site.check.refused_poses), available_bytes()
        drops = all_drops(stats, self._cameras.unmatched) - refused
        return Look(
            active=self._active,
            cameras=self._cameras.looks(),
            image_timeout_s=config.outputs.image_timeout_s,
            stats=stats,
            drops=drops,
            lately=self._recent.look(
                stats.received + sum(self._cameras.unmatched.values()), drops, stats.steps_skipped, refused
            ),
            points=0 if snapshot is None else len(snapshot.surface),
            stale_points=stale_points(snapshot),
            snapshot_period_s=config.runtime.snapshot_period_s,
            memory_mb=resident_bytes() / 1e6,
            free_mb=None if free is None else free / 1e6,
            queries=site.queries.read(),
            faults=tuple(site.check.faults),
            refused=refused,
        )

    def _status(self, found: Finding) -> DiagnosticStatus:
        name = self._site.node.get_fully_qualified_name()
        return DiagnosticStatus(
            level=bytes([found.level]),
            name=f"{name.lstrip('/')}: {found.subject}",
            message=found.message,
            hardware_id=name,
            values=[KeyValue(key=key, value=value) for key, value in found.values.items()],
        )
