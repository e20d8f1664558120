# SPDX-License-Identifier: Apache-2.0
"""`~/save_map`: the trainer freezes the map between two steps, a worker thread writes it. Never raises."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from lerf_ros.core.mapfile import map_path, save_map
from lerf_ros.core.restoring import TrainingState
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import MapFileError
from lerf_ros.ros.services.commands import told_in, wait_for
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import SaveMap


class SaveMapService:
    """Saves below `runtime.maps_dir`.

    Args:
        settings: the configuration in force.
        freeze: asks the trainer thread for a fresh snapshot (None before the first keyframe) and what training would
            go on from, with keyframes or without.
    """

    def __init__(
        self, settings: Settings, freeze: "Callable[[bool], Future[tuple[FieldSnapshot | None, TrainingState]]]"
    ) -> None:
        self._settings = settings
        self._freeze = freeze

    def __call__(self, request: SaveMap.Request, response: SaveMap.Response) -> SaveMap.Response:
        """Fill the response; whatever goes wrong is its message."""
        runtime = self._settings.now.runtime
        with told_in(response, f"saving map {request.name!r}"):
            path = map_path(Path(runtime.maps_dir).expanduser().resolve(), request.name)
            snapshot, state = wait_for(lambda: self._freeze(runtime.save_keyframes), runtime.command_timeout_s)
            if snapshot is None:
                raise MapFileError("there is no map yet: no keyframe has come")
            save_map(snapshot, path, self._settings.now, state)
            response.success, response.path, response.training_step = True, str(path), snapshot.step
        return response
