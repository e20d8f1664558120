# SPDX-License-Identifier: Apache-2.0
"""The node `lerf`, a managed node: what it is made of, and when each part begins and ends.

`configure` loads the encoder and offers services; `activate` subscribes to cameras and maps; `deactivate` stops both
and keeps the map, which goes on answering; `cleanup` frees everything. It takes the first two steps by itself unless
`runtime.autostart` is false.
"""

import logging
import sys
from collections.abc import Sequence

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from lerf_ros.config import Config
from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.errors import LerfError
from lerf_ros.ros import log_bridge, params
from lerf_ros.ros.cameras.ingest import Frame, Ingest
from lerf_ros.ros.cameras.inputs import CameraInputs
from lerf_ros.ros.outputs.heartbeat import Heartbeat
from lerf_ros.ros.outputs.tally import QueryTally
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.poses.inputs import PoseInputs
from lerf_ros.ros.poses.installed import pose_source
from lerf_ros.ros.running import run_program
from lerf_ros.ros.selfcheck import SelfCheck
from lerf_ros.ros.services.offered import Services
from lerf_ros.ros.services.workers import Workers
from lerf_ros.ros.settings import Settings
from lerf_ros.ros.site import Part, Site
from lerf_ros.runtime.mapping_loop import MappingLoop
from lerf_ros.runtime.warm_up import warm_up

_log = logging.getLogger(__name__)


class LerfNode(LifecycleNode):
    """Images, depth and poses in; `~/query` and all else out.

    Raises:
        ConfigError: a parameter is unknown or out of range.
        EncoderError: it starts by itself and the encoder cannot be loaded.
    """

    def __init__(self) -> None:
        super().__init__("lerf", automatically_declare_parameters_from_overrides=True)
        self._log_handler = log_bridge.install(self.get_logger())
        self._site: Site | None = None
        self._parts: list[Part] = []
        self._refusal: LerfError | None = None
        self.config = params.declare(self)
        if self.config.runtime.autostart:
            self.trigger_configure()
            if self._refusal is not None:
                raise self._refusal
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the encoder, make the map and its threads, offer services."""
        try:
            self._site = self._make_site(self.config)
        except LerfError as error:
            _log.error("cannot be configured: %s", error)
            self._refusal = error
            return TransitionCallbackReturn.FAILURE
        self._refusal = None
        self._parts = _parts(self._site)
        self._site.loop.start()
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and map what they see."""
        for part in self._parts:
            part.activate()
        config = self.config.input
        _log.info("mapping in frame %r; poses from %s", config.world_frame, config.pose_source)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop receiving and training; the map stays and answers."""
        for part in reversed(self._parts):
            part.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything that `configure` made."""
        ended = self._tear_down()
        super().on_cleanup(state)
        return TransitionCallbackReturn.SUCCESS if ended else TransitionCallbackReturn.ERROR

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As `cleanup`, from any state."""
        return TransitionCallbackReturn.SUCCESS if self._tear_down() else TransitionCallbackReturn.ERROR

    def now_ns(self) -> int:
        """Return the node's time (simulated with use_sim_time), nanoseconds."""
        return int(self.get_clock().now().nanoseconds)

    def close(self) -> bool:
        """Stop all threads; return whether they ended in time."""
        ended = self._tear_down()
        log_bridge.remove(self._log_handler)
        return ended

    def _make_site(self, config: Config) -> Site:
        encoder = load_encoder(config.encoder)
        _log.info("encoder: %s (weights sha256 %s)", encoder.name, encoder.sha256 or "unknown")
        warm_up(config, encoder)
        check, poses, settings = SelfCheck(), pose_source(), Settings(config)
        camera_poses = CameraPoses(settings, poses)
        mapper = LerfMapper(config, encoder)
        ingest = Ingest(config.input, camera_poses, self.now_ns, check)
        loop: MappingLoop[Frame] = MappingLoop(
            mapper, ingest, config.runtime,
            first_answer=(config.query.min_keyframes, config.query.min_steps), now_ns=self.now_ns,
        )  # fmt: skip
        return Site(self, settings, encoder, mapper, loop, poses, camera_poses, check, Workers(), ingest, QueryTally())

    def _tear_down(self) -> bool:
        """End all that `configure` made, whatever the state; return whether all threads ended in time."""
        site, self._site = self._site, None
        parts, self._parts = self._parts, []
        if site is None:
            return True
        site.workers.close()
        for part in reversed(parts):
            part.deactivate()
            part.close()
        ended = site.loop.stop()
        if ended:
            site.mapper.close()
        return ended


def _parts(site: Site) -> list[Part]:
    cameras = CameraInputs(site)
    return [PoseInputs(site), Services(site), cameras, Heartbeat(site, cameras)]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit code."""
    return run_program("lerf", LerfNode, LerfNode.close, (LerfError,), args)


if __name__ == "__main__":
    sys.exit(main())
