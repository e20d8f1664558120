# SPDX-License-Identifier: Apache-2.0
"""`~/load_map`: a worker thread reads and checks a saved map; the trainer takes it up between two steps. Never raises.
"""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from lerf_ros.core import search
from lerf_ros.core.mapfile import load_map, load_state, map_path, read_info
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.restoring import Restored, check_fit
from lerf_ros.ros.services.commands import told_in, wait_for
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import LoadMap


class LoadMapService:
    """Loads from below `runtime.maps_dir`. Until a map has passed all checks, the one in use is not touched.

    Args:
        settings: the configuration in force.
        mapper: makes a map of what was saved, beside the one in use.
        adopt: asks the trainer thread to go on from it.
    """

    def __init__(
        self, settings: Settings, mapper: LerfMapper, adopt: "Callable[[Restored], Future[None]]"
    ) -> None:
        self._settings, self._mapper, self._adopt = settings, mapper, adopt

    def __call__(self, request: LoadMap.Request, response: LoadMap.Response) -> LoadMap.Response:
        """Fill the response; whatever goes wrong is its message."""
        with told_in(response, f"loading map {request.name!r}"):
            self._load(request, response)
        return response

    def _load(self, request: LoadMap.Request, response: LoadMap.Response) -> None:
        config, encoder = self._settings.now, self._mapper.encoder
        path = map_path(Path(config.runtime.maps_dir).expanduser().resolve(), request.name)
        snapshot = load_map(path, encoder, config.input.world_frame)
        check_fit(read_info(path).config, config)
        restored = self._mapper.restore(snapshot, load_state(path))
        if encoder is not None:
            search.prepare(snapshot, encoder, config)
        wait_for(lambda: self._adopt(restored), config.runtime.command_timeout_s)
        response.success, response.path, response.training_step = True, str(path), snapshot.step
        response.keyframes = len(restored.state.keyframes)
        if not response.keyframes:
            response.message = (
                f"it was saved without its {snapshot.keyframes} keyframes (runtime.save_keyframes, an older version): "
                "it answers, and training goes on from its weights with new keyframes, which alone are learned then"
            )
