# SPDX-License-Identifier: Apache-2.0
"""Makes what the node consists of. A new part is one more line in `make_parts`."""

import logging
from collections.abc import Iterator

from rclpy.lifecycle import LifecycleNode

from lerf_ros.config import Config
from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.ros.cameras.ingest import Frame, Ingest
from lerf_ros.ros.cameras.inputs import CameraInputs
from lerf_ros.ros.cameras.robot_inputs import RobotInputs
from lerf_ros.ros.clock_watch import ClockWatch
from lerf_ros.ros.outputs.offered import make_outputs
from lerf_ros.ros.outputs.tally import QueryTally
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.poses.inputs import PoseInputs
from lerf_ros.ros.poses.installed import pose_source
from lerf_ros.ros.poses.watch import PoseWatch
from lerf_ros.ros.selfcheck.check import SelfCheck
from lerf_ros.ros.selfcheck.watch import Watch
from lerf_ros.ros.services.offered import Services
from lerf_ros.ros.services.workers import Workers
from lerf_ros.ros.settings import Settings
from lerf_ros.ros.site import Part, Site
from lerf_ros.runtime.mapping_loop import MappingLoop
from lerf_ros.runtime.warm_up import warm_up

_log = logging.getLogger(__name__)


def make_site(node: LifecycleNode, config: Config) -> Site:
    """Load the encoder and make the map; nothing runs yet.

    Raises:
        LerfError: something of that cannot be had.
    """
    encoder = load_encoder(config.encoder)
    _log.info("encoder: %s (weights sha256 %s)", encoder.name, encoder.sha256 or "unknown")
    warm_up(config, encoder)
    clock = node.get_clock()

    def now_ns() -> int:
        return int(clock.now().nanoseconds)

    check, poses, settings = SelfCheck(), pose_source(), Settings(config)
    camera_poses = CameraPoses(settings, poses)
    mapper = LerfMapper(config, encoder)
    ingest = Ingest(settings.live_input(), camera_poses, now_ns, check)
    loop: MappingLoop[Frame] = MappingLoop(
        mapper, ingest, config.runtime, source_of=lambda frame: frame.camera,
        first_answer=(config.query.min_keyframes, config.query.min_steps), now_ns=now_ns,
    )  # fmt: skip
    return Site(node, settings, encoder, mapper, loop, poses, camera_poses, check, Workers(), ingest, QueryTally())


def make_parts(site: Site) -> Iterator[Part]:
    """Yield the parts one by one, so that those made can be ended when the next one cannot be made."""
    yield PoseInputs(site)
    yield RobotInputs(site)
    yield Services(site)
    cameras = CameraInputs(site)
    yield cameras
    yield from make_outputs(site, cameras)
    yield PoseWatch(site)
    yield Watch(site)
    yield ClockWatch(site)
