# SPDX-License-Identifier: Apache-2.0
"""Feeds the transform buffer from /tf and /tf_static, or from a topic of camera poses."""

from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import Pose, PoseStamped
from jaxtyping import Float64
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from tf2_msgs.msg import TFMessage

from lerf_ros.core.geometry import pose_matrix, quaternion_from_matrix
from lerf_ros.errors import PoseError
from lerf_ros.ros.cameras.ingest import POSE_CHILD, nanoseconds
from lerf_ros.ros.poses.tf_buffer import TfBuffer

DYNAMIC = QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
STATIC = QoSProfile(
    depth=100,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""What tf2_ros uses for /tf and /tf_static."""

MAX_AHEAD_NS = 2_000_000_000
"""Some publishers date transforms a little ahead on purpose; one from much later would hide all until then."""

Refuse = Callable[[PoseError], None]


class TransformListener:
    """Writes every transform that arrives into a buffer; one that cannot be used goes to `refuse`, the rest go on."""

    def __init__(
        self, node: Node, buffer: TfBuffer, now_ns: Callable[[], int], refuse: Refuse
    ) -> None:
        self._buffer = buffer
        self._now_ns = now_ns
        self._refuse = refuse
        self._node = node
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", self._on_dynamic, DYNAMIC),
            node.create_subscription(TFMessage, "/tf_static", self._on_static, STATIC),
        ]

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_dynamic(self, message: TFMessage) -> None:
        self._take(message, static=False)

    def _on_static(self, message: TFMessage) -> None:
        self._take(message, static=True)

    def _take(self, message: TFMessage, *, static: bool) -> None:
        for t in message.transforms:
            p, q = t.transform.translation, t.transform.rotation
            stamp_ns = nanoseconds(t.header.stamp)
            try:
                if not static:
                    self._check_stamp(stamp_ns)
                T = pose_matrix(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))
                self._buffer.add(t.header.frame_id, t.child_frame_id, stamp_ns, T, static=static)
            except PoseError as error:
                self._refuse(PoseError(error.cause, f"transform of {t.child_frame_id!r}: {error}"))

    def _check_stamp(self, stamp_ns: int) -> None:
        ahead_s = (stamp_ns - self._now_ns()) / 1e9
        if ahead_s > MAX_AHEAD_NS / 1e9:
            raise PoseError("tf_in_future", f"its stamp is {ahead_s:.3f} s ahead of the node's clock")


class PoseListener:
    """Writes the poses of the `pose` topic into a buffer. They must be poses of the camera's optical frame."""

    def __init__(
        self, node: Node, buffer: TfBuffer, qos: QoSProfile, world_frame: str, refuse: Refuse
    ) -> None:
        self._buffer = buffer
        self._world_frame = world_frame
        self._refuse = refuse
        self._node = node
        self._subscription = node.create_subscription(PoseStamped, "pose", self._on_pose, qos)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _on_pose(self, message: PoseStamped) -> None:
        try:
            if message.header.frame_id.lstrip("/") != self._world_frame:
                raise PoseError(
                    "pose_frame",
                    f"poses are in {message.header.frame_id!r}, not in input.world_frame = {self._world_frame!r}",
                )
            T_world_cam = matrix_from_pose(message.pose)
            self._buffer.add(self._world_frame, POSE_CHILD, nanoseconds(message.header.stamp), T_world_cam)
        except PoseError as error:
            self._refuse(error)


def matrix_from_pose(pose: Pose) -> Float64[np.ndarray, "4 4"]:
    """Return the transform of a pose message.

    Raises:
        PoseError: cause ``pose_not_finite`` or ``pose_not_rigid``.
    """
    p, q = pose.position, pose.orientation
    return pose_matrix(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def pose_from_matrix(T: Float64[np.ndarray, "4 4"]) -> Pose:
    """Return the pose message of a transform."""
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = (float(x) for x in T[:3, 3])
    q = pose.orientation
    q.x, q.y, q.z, q.w = (float(x) for x in quaternion_from_matrix(T[:3, :3]))
    return pose
