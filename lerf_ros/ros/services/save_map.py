# SPDX-License-Identifier: Apache-2.0
"""`~/save_map`: the trainer freezes the map between two steps, the executor's thread writes it. Never raises."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from pathlib import Path

from lerf_ros.core.mapfile import map_path, save_map
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import LerfError, MapFileError
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import SaveMap

_log = logging.getLogger(__name__)


class SaveMapService:
    """Saves below `runtime.maps_dir`.

    Args:
        settings: the configuration in force.
        freeze: asks the trainer thread for a fresh snapshot; the future gives None before the first keyframe.
    """

    def __init__(self, settings: Settings, freeze: Callable[[], "Future[FieldSnapshot | None]"]) -> None:
        self._settings = settings
        self._freeze = freeze

    def __call__(self, request: SaveMap.Request, response: SaveMap.Response) -> SaveMap.Response:
        """Fill the response; whatever goes wrong is its message."""
        runtime = self._settings.now.runtime
        try:
            path = map_path(Path(runtime.maps_dir).expanduser().resolve(), request.name)
            frozen = self._freeze()
            snapshot = frozen.result(runtime.command_timeout_s)
            if snapshot is None:
                raise MapFileError("there is no map yet: no keyframe has come")
            save_map(snapshot, path, self._settings.now)
            response.success, response.path, response.training_step = True, str(path), snapshot.step
        except TimeoutError:
            frozen.cancel()
            response.message = f"training did not pause within {runtime.command_timeout_s:g} s; try again"
        except LerfError as error:
            response.message = str(error)
        except Exception as error:  # a service callback that raises would take the node down
            _log.exception("saving map %r failed", request.name)
            response.message = f"{type(error).__name__}: {error}"
        return response
