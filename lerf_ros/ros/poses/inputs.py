# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that poses come from: /tf and /tf_static, and pose or odometry topics where they are asked for."""

from functools import partial

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration

from lerf_ros.errors import PoseError
from lerf_ros.ros.cameras.inputs import camera_qos
from lerf_ros.ros.poses.listeners import OdometryListener, PoseListener, TransformListener
from lerf_ros.ros.site import Site


class PoseInputs:
    """The part that keeps the transforms fed, inactive as well: answers in other frames need them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        config = site.settings.now.input
        cameras, qos = config.camera_names, camera_qos(config)
        self._listeners: list[TransformListener | PoseListener | OdometryListener] = [
            TransformListener(site.node, site.poses, site.now_ns, self._refuse)
        ]
        if config.pose_source == "pose":
            self._listeners.append(PoseListener(site.node, site.camera_poses, cameras, qos, self._refuse))
        elif config.pose_source == "odometry":
            unsure = partial(site.check.warn, "odometry_uncertain")
            self._listeners.append(
                OdometryListener(site.node, site.camera_poses, cameras, qos, self._refuse, unsure)
            )
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self._jumps = site.node.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)

    def activate(self) -> None:
        """Nothing to begin."""

    def deactivate(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Unsubscribe; nobody waits for a transform any more."""
        self._jumps.unregister()
        for listener in self._listeners:
            listener.close()
        self._site.camera_poses.close()

    def _on_jump(self, jump: TimeJump) -> None:
        """Simulated time went back: a recording starts again, and what was recorded is of no use to it."""
        self._site.camera_poses.clear()

    def _refuse(self, error: PoseError, frame: str) -> None:
        self._site.loop.drop(error.cause)
        self._site.check.refused_pose(error.cause, str(error), frame)
