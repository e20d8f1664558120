# SPDX-License-Identifier: Apache-2.0
"""`~/forget_region` and `~/reset`: a part of the map is forgotten, or all of it. Never raise."""

from collections.abc import Callable
from concurrent.futures import Future

from std_srvs.srv import Trigger

from lerf_ros.core.phrases import Corner
from lerf_ros.ros.poses.source import PoseSource
from lerf_ros.ros.services.commands import told_in, wait_for
from lerf_ros.ros.services.regions import upright_box
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import ForgetRegion


class ForgetRegionService:
    """Has the trainer forget a box.

    Args:
        settings: the configuration in force.
        transforms: for boxes in other frames.
        forget: asks the trainer thread to forget a box (world) and to publish; the future gives the points forgotten,
            None without a map.
    """

    def __init__(
        self, settings: Settings, transforms: PoseSource,
        forget: "Callable[[Corner, Corner], Future[int | None]]",
    ) -> None:  # fmt: skip
        self._settings, self._transforms, self._forget = settings, transforms, forget

    def __call__(self, request: ForgetRegion.Request, response: ForgetRegion.Response) -> ForgetRegion.Response:
        """Fill the response; whatever goes wrong is its message."""
        config = self._settings.now
        with told_in(response, "forgetting a region"):
            low, high = upright_box(
                request.region_min, request.region_max, request.region_frame, config.input.world_frame, self._transforms
            )
            points = wait_for(lambda: self._forget(low, high), config.runtime.command_timeout_s)
            if points is None:
                response.message = "there is no map yet: nothing to forget"
            else:
                response.success, response.points_forgotten = True, points
        return response


class ResetService:
    """Has the trainer forget everything.

    Args:
        settings: the configuration in force.
        reset: asks the trainer thread to.
    """

    def __init__(self, settings: Settings, reset: "Callable[[], Future[None]]") -> None:
        self._settings, self._reset = settings, reset

    def __call__(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Fill the response; it is given when the map is gone."""
        with told_in(response, "reset"):
            wait_for(self._reset, self._settings.now.runtime.command_timeout_s)
            response.success, response.message = True, "the map is forgotten; the next frames begin a new one"
        return response
