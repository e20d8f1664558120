# SPDX-License-Identifier: Apache-2.0
"""What the parts of the node share from `configure` to `cleanup`, and what a part is."""

import logging
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rclpy.lifecycle import LifecycleNode

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.errors import MappingStoppedError
from lerf_ros.ros.cameras.ingest import Frame, Ingest
from lerf_ros.ros.outputs.tally import QueryTally
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.poses.source import PoseSource
from lerf_ros.ros.selfcheck.check import SelfCheck
from lerf_ros.ros.services.workers import Workers
from lerf_ros.ros.settings import Settings
from lerf_ros.runtime.mapping_loop import MappingLoop

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """Where the parts of the node meet.

    Attributes:
        node: creates and destroys ROS entities.
        settings: the configuration, which may change while the node runs.
        encoder: embeds images and phrases.
        mapper: owned by the loop's trainer thread: reach it through `loop.command` alone.
        loop: mailbox, threads, snapshot, counters.
        poses: transforms over time.
        camera_poses: where each camera was.
        check: told of everything suspicious.
        workers: where services do what takes longer than a callback may.
        ingest: knows the newest image of each camera.
        queries: how they went.
    """

    node: LifecycleNode
    settings: Settings
    encoder: ImageTextEncoder
    mapper: LerfMapper
    loop: MappingLoop[Frame]
    poses: PoseSource
    camera_poses: CameraPoses
    check: SelfCheck
    workers: Workers
    ingest: Ingest
    queries: QueryTally

    def now_ns(self) -> int:
        """Return the node's time (simulated with use_sim_time), nanoseconds."""
        return int(self.node.get_clock().now().nanoseconds)

    def suspend(self) -> None:
        """Have training stop and give back what it alone needs; wait for it as long as for any command."""
        try:
            self.loop.suspend().result(self.settings.now.runtime.command_timeout_s)
        except NotInTime:
            _log.warning("training is still in one step; it stops after that")
        except MappingStoppedError as error:  # there is nothing to stop any more
            _log.error("%s", error)

    def reconfigure(self, config: Config) -> None:
        """Put another configuration in force that differs in what may change while the node is configured."""
        self.settings.change(config)
        self.mapper.reconfigure(config)  # from here: it is read by both threads, and the next frame is to see it
        try:
            self.loop.reconfigure(config.runtime, (config.query.min_keyframes, config.query.min_steps))
        except MappingStoppedError as error:
            _log.error("the map keeps to the old parameters: %s", error)

    def close(self, deadline: float) -> bool:
        """End loop and map; return whether the threads ended until `deadline` (time.monotonic)."""
        ended = self.loop.join(deadline)
        if ended:
            self.mapper.close()
        return ended


@runtime_checkable
class Part(Protocol):
    """One thing the node does. Made in `configure`; all three are called by the executor's thread."""

    def activate(self) -> None:
        """Begin: subscribe, start timers."""

    def deactivate(self) -> None:
        """Stop what `activate` began; the map stays, and services still answer."""

    def close(self) -> None:
        """Destroy every ROS entity of this part. Called once, inactive, before the mapping loop is stopped."""


@runtime_checkable
class Threaded(Protocol):
    """A part with a thread of its own, which `close` only tells to end."""

    def join(self, deadline: float) -> bool:
        """Wait until the thread has ended, until `deadline` (time.monotonic) at most; return whether it has."""
