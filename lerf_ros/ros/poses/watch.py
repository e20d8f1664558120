# SPDX-License-Identifier: Apache-2.0
"""Watches the camera poses: leaps, transforms that stop or stand still, and cameras mounted elsewhere than said.

All of it is reported; nothing is ever corrected.
"""

import logging
import math
import time
from collections.abc import Mapping
from concurrent.futures import Future

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from jaxtyping import Float64
from rclpy.clock import Clock, ClockType

from lerf_ros.core.drift import FRAMES, mounting_error
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.mounting import MountingError
from lerf_ros.errors import MappingStoppedError, PoseError
from lerf_ros.ros.poses.listeners import pose_from_matrix
from lerf_ros.ros.poses.suspicion import Leaps, Stillness
from lerf_ros.ros.site import Site

PERIOD_S = 0.5

_log = logging.getLogger(__name__)

Found = tuple[int, MountingError | None]


class PoseWatch:
    """The part that doubts poses."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._leaps = Leaps()
        self._stillness = Stillness()
        self._looked: dict[str, int] = {}  # stamp of the last image of each camera that was looked at
        self._newest_keyframe = -1
        self._due_s = 0.0
        self._search: Future[dict[str, Found]] | None = None
        self._publisher = site.node.create_publisher(PoseWithCovarianceStamped, "~/camera_correction", 1)
        self._timer = site.node.create_timer(
            PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME), autostart=False
        )
        site.camera_poses.found = self._on_found
        site.camera_poses.missed = self._on_missed

    def activate(self) -> None:
        """Begin to look at images and keyframes."""
        self._leaps.forget()
        self._stillness.forget()
        self._timer.reset()

    def deactivate(self) -> None:
        """Stop."""
        self._timer.cancel()

    def close(self) -> None:
        """Forget all."""
        self._site.node.destroy_timer(self._timer)
        self._site.node.destroy_publisher(self._publisher)

    def _on_found(self, frame: str, stamp_ns: int, T_world_cam: Float64[np.ndarray, "4 4"]) -> None:
        """Encoder thread."""
        limit = self._site.settings.now.input.max_speed_mps
        if (text := self._leaps.look(frame, stamp_ns, T_world_cam, limit)) is not None:
            self._site.check.refused("pose_jump", text, frame)
        self._site.check.clear("transforms_stopped", frame)

    def _on_missed(self, frame: str, stamp_ns: int, error: PoseError) -> None:
        """Encoder thread."""
        limit_s = self._site.settings.now.input.stale_after_s
        newest_ns = self._site.camera_poses.newest_stamp(frame)
        if limit_s and newest_ns is not None and stamp_ns - newest_ns > limit_s * 1e9:
            self._site.check.warn(
                "transforms_stopped",
                f"images of {frame!r} keep coming, but its transforms ended {(stamp_ns - newest_ns) / 1e9:.1f} s "
                f"before: is the robot's driver or robot_state_publisher still running? ({error})",
                frame,
            )

    def _look(self) -> None:
        config = self._site.settings.now.input
        for frame, image in self._site.ingest.newest.items():
            if self._looked.get(frame) == image.stamp_ns:
                continue
            self._looked[frame] = image.stamp_ns
            text = self._stillness.look(frame, image.stamp_ns, image.T_world_cam, image.rgb, config.stale_after_s)
            moves = config.pose_source != "tf" or self._site.camera_poses.newest_stamp(frame) is not None
            self._site.check.judge({"stale_joints": text if moves else None}, frame)
        self._look_at_mounting(config.drift_period_s)

    def _look_at_mounting(self, period_s: float) -> None:
        """Have the trainer thread compare new keyframes between two steps, and report what the last time found."""
        if self._search is not None:
            if not self._search.done():
                return
            search, self._search = self._search, None
            if not search.cancelled():
                self._report_result(search)
        now = time.monotonic()
        frames = self._site.mapper.store.view()
        if not period_s or now < self._due_s or not frames or frames[-1].id == self._newest_keyframe:
            return
        self._due_s, self._newest_keyframe = now + period_s, frames[-1].id
        try:
            self._search = self._site.loop.command(lambda: mounting_errors(frames))
        except MappingStoppedError:
            return

    def _report_result(self, search: "Future[dict[str, Found]]") -> None:
        failure = search.exception()
        if failure is None:
            self._report(search.result())
        elif not isinstance(failure, MappingStoppedError):
            _log.error("keyframes could not be compared: %s: %s", type(failure).__name__, failure)

    def _report(self, found: Mapping[str, Found]) -> None:
        for camera, (stamp_ns, error) in found.items():
            if error is None:
                continue
            text = describe(camera, error) if error.significant else None
            self._site.check.judge({"mounting_error": text}, camera)
            if self._site.settings.now.input.report_correction and rclpy.ok():
                self._publisher.publish(correction_message(camera, stamp_ns, error))


def mounting_errors(frames: tuple[Keyframe, ...]) -> dict[str, Found]:
    """Return, by camera, the stamp of its newest keyframe and what its keyframes say of its mounting."""
    cameras = {frame.image.camera: frame.image.stamp_ns for frame in frames}
    return {
        camera: (stamp_ns, mounting_error([f.image for f in frames if f.image.camera == camera][-FRAMES:]))
        for camera, stamp_ns in cameras.items()
    }


def describe(camera: str, error: MountingError) -> str:
    """Return what a person should know of a camera's mounting."""
    told = error.told
    sigma = np.sqrt(np.diag(told.covariance))
    x, y, z = 1e3 * told.vector[:3]
    return (
        f"depth seen from different sides fits together when {camera} is moved by ({x:.1f}, {y:.1f}, {z:.1f}) mm (one "
        f"sigma {1e3 * sigma[:3].max():.1f}) and turned by {math.degrees(told.turn_rad):.2f} degrees (one sigma "
        f"{math.degrees(float(sigma[3:].max())):.2f}) against its stated pose: repeat the hand-eye calibration, or "
        "look whether the camera is loose; nothing was corrected (input.report_correction publishes it)"
    )


def correction_message(camera: str, stamp_ns: int, error: MountingError) -> PoseWithCovarianceStamped:
    """Return the pose of the camera as it is in its frame as stated, with its covariance (x, y, z, rotations)."""
    message = PoseWithCovarianceStamped()
    message.header.frame_id = camera
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.pose.pose = pose_from_matrix(error.T_cam_corrected)
    message.pose.covariance = [float(x) for x in error.covariance.ravel()]
    return message
