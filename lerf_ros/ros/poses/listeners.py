# SPDX-License-Identifier: Apache-2.0
"""Takes poses from /tf and /tf_static, and from topics of camera poses or odometry; the same from recordings."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from geometry_msgs.msg import Pose, PoseStamped
from jaxtyping import Float64
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from lerf_ros.core.geometry import pose_matrix, quaternion_from_matrix
from lerf_ros.errors import PoseError
from lerf_ros.ros.cameras.frame import nanoseconds
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.poses.source import PoseSource

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

UNSURE_M = 0.02
UNSURE_RAD = math.radians(2)
"""Odometry that says it may be further off is worth a word."""

Refuse = Callable[[PoseError, str], None]
"""Called with what is wrong, and the frame whose pose it was (or the camera)."""


class TransformListener:
    """Writes every transform that arrives into the store; one that cannot be used goes to `refuse`, the rest go on."""

    def __init__(
        self, node: Node, source: PoseSource, now_ns: Callable[[], int], refuse: Refuse
    ) -> None:
        self._source = source
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
        take_transforms(message, self._source, self._refuse, self._now_ns(), static=False)

    def _on_static(self, message: TFMessage) -> None:
        take_transforms(message, self._source, self._refuse, None, static=True)


class PoseListener:
    """Writes the poses of `pose` topics: those of the cameras' optical frames, in whatever frame they say."""

    def __init__(
        self, node: Node, poses: CameraPoses, cameras: Sequence[str], qos: QoSProfile, refuse: Refuse
    ) -> None:
        self._poses = poses
        self._refuse = refuse
        self._node = node
        self._subscriptions = [
            node.create_subscription(
                PoseStamped, f"{camera}/pose".lstrip("/"), partial(self._on_pose, camera), qos
            )
            for camera in cameras
        ]

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_pose(self, camera: str, message: PoseStamped) -> None:
        take_pose(self._poses, camera, message, self._refuse)


class OdometryListener:
    """Writes the poses of `odometry` topics: those of bodies, from which transforms lead to the cameras.

    What their covariance says is reported, never used: a pose is taken as it is, or not at all.
    """

    def __init__(
        self, node: Node, poses: CameraPoses, cameras: Sequence[str], qos: QoSProfile, refuse: Refuse,
        unsure: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._poses = poses
        self._refuse = refuse
        self._unsure = unsure
        self._node = node
        self._subscriptions = [
            node.create_subscription(
                Odometry, f"{camera}/odometry".lstrip("/"), partial(self._on_odometry, camera), qos
            )
            for camera in cameras
        ]

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_odometry(self, camera: str, message: Odometry) -> None:
        take_odometry(self._poses, camera, message, self._refuse, self._unsure)


def take_transforms(
    message: TFMessage, source: PoseSource, refuse: Refuse, now_ns: int | None, *, static: bool
) -> None:
    """Record every transform of a message; one that cannot be used goes to `refuse`, the rest go on.

    Args:
        now_ns: the clock that stamps of moving frames are held against; None: there is none, as in a recording.
    """
    for t in message.transforms:
        p, q = t.transform.translation, t.transform.rotation
        stamp_ns = nanoseconds(t.header.stamp)
        try:
            if not static and now_ns is not None and stamp_ns - now_ns > MAX_AHEAD_NS:
                ahead_s = (stamp_ns - now_ns) / 1e9
                raise PoseError("tf_in_future", f"its stamp is {ahead_s:.3f} s ahead of the node's clock")
            source.record(
                t.header.frame_id, t.child_frame_id, stamp_ns, (p.x, p.y, p.z), (q.x, q.y, q.z, q.w), static=static
            )
        except PoseError as error:
            refuse(PoseError(error.cause, f"transform of {t.child_frame_id!r}: {error}"), t.child_frame_id)


def take_pose(poses: CameraPoses, camera: str, message: PoseStamped, refuse: Refuse) -> None:
    """Record the pose of a camera; one that cannot be used goes to `refuse`."""
    _take(poses, camera, message.header, "", message.pose, refuse)


def take_odometry(
    poses: CameraPoses, camera: str, message: Odometry, refuse: Refuse, unsure: Callable[[str], None]
) -> None:
    """Record the pose of the body that carries a camera; one that cannot be used goes to `refuse`."""
    if not message.child_frame_id.lstrip("/"):
        refuse(PoseError("pose_frame", "odometry without child_frame_id: which body's pose is it?"), camera)
        return
    variances = [float(message.pose.covariance[7 * i]) for i in range(6)]
    metres, radians = (math.sqrt(max(0.0, *part)) for part in (variances[:3], variances[3:]))
    if metres > UNSURE_M or radians > UNSURE_RAD:
        unsure(
            f"odometry of {message.child_frame_id!r} says of itself that it is {metres:.3f} m or "
            f"{math.degrees(radians):.1f} degrees (one sigma) uncertain: the map will be as blurred"
        )
    _take(poses, camera, message.header, message.child_frame_id, message.pose.pose, refuse)


def _take(poses: CameraPoses, camera: str, header: Header, body: str, pose: Pose, refuse: Refuse) -> None:
    p, q = pose.position, pose.orientation
    try:
        poses.record(
            camera, header.frame_id, body, nanoseconds(header.stamp), (p.x, p.y, p.z), (q.x, q.y, q.z, q.w)
        )
    except PoseError as error:
        refuse(error, body or camera)


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
