# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that poses come from: /tf and /tf_static, and the `pose` topic where it is asked for."""

from lerf_ros.errors import PoseError
from lerf_ros.ros.cameras.inputs import camera_qos
from lerf_ros.ros.poses.listeners import PoseListener, TransformListener
from lerf_ros.ros.site import Site


class PoseInputs:
    """The part that keeps the transform buffer fed, inactive as well: answers in other frames need it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        config = site.settings.now.input
        self._listeners: list[TransformListener | PoseListener] = [
            TransformListener(site.node, site.poses, site.now_ns, self._refuse)
        ]
        if config.pose_source == "pose":
            qos = camera_qos(config)
            self._listeners.append(PoseListener(site.node, site.poses, qos, config.world_frame, self._refuse))

    def activate(self) -> None:
        """Nothing to begin."""

    def deactivate(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Unsubscribe; nobody waits for a transform any more."""
        for listener in self._listeners:
            listener.close()
        self._site.poses.close()

    def _refuse(self, error: PoseError) -> None:
        self._site.loop.drop(error.cause)
        self._site.check.refused(error.cause, str(error))
