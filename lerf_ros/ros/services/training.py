# SPDX-License-Identifier: Apache-2.0
"""`~/set_training`: whoever needs the CPU (an arm in motion) has training pause, and go on later. Never raises."""

from collections.abc import Callable
from concurrent.futures import Future

from std_srvs.srv import SetBool

from lerf_ros.ros.services.commands import told_in, wait_for
from lerf_ros.ros.settings import Settings


class TrainingService:
    """Hands the wish to the trainer and waits until it is followed.

    Args:
        settings: how long to wait.
        set_training: asks the trainer thread to go on (True) or to pause.
        inactive: whether nothing is trained anyway, because the node is inactive.
    """

    def __init__(
        self, settings: Settings, set_training: "Callable[[bool], Future[None]]",
        inactive: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._set_training = set_training
        self._inactive = inactive

    def __call__(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Fill the response; it is given when no step is running any more (or steps may run again)."""
        timeout_s = self._settings.now.runtime.command_timeout_s
        with told_in(response, "set_training"):
            wait_for(lambda: self._set_training(bool(request.data)), timeout_s)
            response.success = True
            response.message = self._told(bool(request.data))
        return response

    def _told(self, go_on: bool) -> str:
        if not go_on:
            return "training pauses; queries are still answered"
        return "training goes on once the node is activated" if self._inactive() else "training goes on"
