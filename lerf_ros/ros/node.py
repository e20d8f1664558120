# SPDX-License-Identifier: Apache-2.0
"""The node `lerf`: declares parameters, subscribes, hands everything on. All work happens in the mapping loop."""

import logging
import sys
import time
from collections.abc import Sequence
from functools import partial

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import QoSMessageLostInfo, QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool

from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.errors import LerfError, MappingStoppedError, PoseError
from lerf_ros.msg import Status
from lerf_ros.ros import log_bridge, params
from lerf_ros.ros.ingest import Frame, Ingest, nanoseconds
from lerf_ros.ros.query_service import QueryService
from lerf_ros.ros.running import run_program
from lerf_ros.ros.save_service import SaveMapService
from lerf_ros.ros.selfcheck import SelfCheck
from lerf_ros.ros.status import status_message
from lerf_ros.ros.sync import StampMatcher
from lerf_ros.ros.tf_buffer import TfBuffer
from lerf_ros.ros.training_service import TrainingService
from lerf_ros.ros.transforms import PoseListener, TransformListener
from lerf_ros.runtime.mapping_loop import MappingLoop
from lerf_ros.runtime.warm_up import warm_up
from lerf_ros.srv import Query, SaveMap

_log = logging.getLogger(__name__)


class LerfNode(Node):
    """Images, depth and poses in; `~/query` and `~/status` out.

    Raises:
        ConfigError: a parameter is unknown or out of range.
        EncoderError: the encoder cannot be loaded.
    """

    def __init__(self) -> None:
        super().__init__("lerf", automatically_declare_parameters_from_overrides=True)
        self.config = params.declare(self)
        self._log_handler = log_bridge.install(self.get_logger())
        self.encoder = load_encoder(self.config.encoder)
        _log.info("encoder: %s (weights sha256 %s)", self.encoder.name, self.encoder.sha256 or "unknown")
        warm_up(self.config, self.encoder)
        self.check = SelfCheck()
        self.transforms = TfBuffer()
        self.mapper = LerfMapper(self.config, self.encoder)
        ingest = Ingest(self.config.input, self.transforms, self.now_ns, self.check)
        need = self.config.query
        self.loop: MappingLoop[Frame] = MappingLoop(
            self.mapper, ingest, self.config.runtime,
            first_answer=(need.min_keyframes, need.min_steps), now_ns=self.now_ns,
        )  # fmt: skip
        streams = ["camera_info", "depth"] if self.config.input.use_depth else ["camera_info"]
        slop_ns = int(self.config.input.sync_slop_s * 1e9)
        self.matcher: StampMatcher[Image | CameraInfo] = StampMatcher(
            "image", streams, slop_ns, self.config.input.queue_depth
        )
        self._offer()
        self._subscribe()
        self.loop.start()
        _log.info("mapping in frame %r; poses from %s", self.config.input.world_frame, self.config.input.pose_source)

    def now_ns(self) -> int:
        """Return the node's time (simulated with use_sim_time)."""
        return int(self.get_clock().now().nanoseconds)

    def close(self) -> bool:
        """Stop all threads; return whether they ended in time."""
        self.transforms.close()
        ended = self.loop.stop()
        if ended:
            self.mapper.close()
        log_bridge.remove(self._log_handler)
        return ended

    def _offer(self) -> None:
        query = QueryService(
            self.config, self.encoder, self.loop.snapshot, self.transforms, self.now_ns, self.loop.answering
        )
        self.create_service(Query, "~/query", query)
        save = SaveMapService(self.config, lambda: self.loop.command(self.mapper.publish))
        self.create_service(SaveMap, "~/save_map", save)
        pause = TrainingService(self.config.runtime, self.loop.set_training)
        self.create_service(SetBool, "~/set_training", pause)
        self._status = self.create_publisher(Status, "~/status", 1)
        self.create_timer(
            self.config.runtime.status_period_s,
            self._publish_status,
            clock=Clock(clock_type=ClockType.STEADY_TIME),  # goes on when simulated time stands still
        )

    def _subscribe(self) -> None:
        config = self.config.input
        qos = QoSProfile(
            depth=config.queue_depth,
            history=HistoryPolicy.KEEP_LAST,
            reliability=ReliabilityPolicy[config.reliability.upper()],
        )
        if config.pose_source == "pose":
            PoseListener(self, self.transforms, qos, config.world_frame, self._refuse_pose)
        TransformListener(self, self.transforms, self.now_ns, self._refuse_pose)
        topics = {"image": Image, "camera_info": CameraInfo} | ({"depth": Image} if config.use_depth else {})
        for name, kind in topics.items():
            events = SubscriptionEventCallbacks(
                incompatible_qos=partial(self._on_qos_mismatch, name),
                message_lost=partial(self._on_lost, name),
            )
            self.create_subscription(
                kind, name, partial(self._on_message, name), qos, event_callbacks=events
            )

    def _on_qos_mismatch(self, topic: str, event: QoSRequestedIncompatibleQoSInfo) -> None:
        self.check.qos_mismatch(self.resolve_topic_name(topic), QoSPolicyKind(event.last_policy_kind).name)

    def _on_lost(self, topic: str, event: QoSMessageLostInfo) -> None:
        self.loop.drop(f"{topic}_lost", event.total_count_change)

    def _on_message(self, stream: str, message: Image | CameraInfo) -> None:
        begin = time.perf_counter()
        for parts in self.matcher.add(stream, nanoseconds(message.header.stamp), message):
            try:
                self.loop.submit(Frame(parts["image"], parts["camera_info"], parts.get("depth")))
            except MappingStoppedError:
                self.loop.drop("mapping_stopped")
        self.loop.received_in(time.perf_counter() - begin)

    def _refuse_pose(self, error: PoseError) -> None:
        self.loop.drop(error.cause)
        self.check.refused(error.cause, str(error))

    def _publish_status(self) -> None:
        if not rclpy.ok():
            return
        unmatched = self.matcher.dropped
        self.check.unmatched(sum(unmatched.values()), self.matcher.matched, self.matcher.closest_miss_ns)
        frame_id = self.config.input.world_frame
        status = status_message(self.loop.stats(), unmatched, self.encoder, self.check.warnings, frame_id)
        status.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(status)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit code."""
    return run_program("lerf", LerfNode, LerfNode.close, (LerfError,), args)


if __name__ == "__main__":
    sys.exit(main())
