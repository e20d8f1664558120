# SPDX-License-Identifier: Apache-2.0
"""tf2's buffer as a `PoseSource`. Nothing of tf2 is imported until one is made.

tf2 keeps and interpolates the histories. What it does otherwise than promised is put right here: it prints and skips
what is not rigid (refused instead, so that it is counted), ignores everything after a jump back in time (the moving
part is forgotten instead), holds the last pose of a frame that changed its parent until the new one begins (refused
instead), waits by polling, and tells causes apart in its texts alone.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from jaxtyping import Float64
from rclpy.duration import Duration
from rclpy.time import Time

from lerf_ros.core.geometry import pose_matrix
from lerf_ros.errors import PoseError
from lerf_ros.ros.poses.source import Position, Quaternion, frame_names, unit
from lerf_ros.ros.poses.tf_buffer import JUMP_BACK_NS
from lerf_ros.ros.poses.tree import chains

AUTHORITY = "lerf"
NEVER_NS = 2**63


@dataclass
class _Edge:
    """What tf2 does not tell of a frame: how it hangs, from when to when, and how long it hung elsewhere before."""

    static: bool
    before_ns: int = 0
    since_ns: int = NEVER_NS
    newest_ns: int = 0

    def extend(self, stamp_ns: int) -> None:
        self.since_ns = max(min(self.since_ns, stamp_ns), self.before_ns)
        self.newest_ns = max(self.newest_ns, stamp_ns)

    def forget(self) -> None:
        self.before_ns, self.since_ns, self.newest_ns = 0, NEVER_NS, 0


class Tf2Source:
    """A `PoseSource` over `tf2_ros.Buffer`.

    Raises:
        ImportError: this ROS has no tf2_ros.
    """

    def __init__(self, cache_s: float = 10.0) -> None:
        import tf2_ros

        self._refusals: tuple[type[Exception], ...] = (tf2_ros.TransformException,)
        self._buffer: Any = tf2_ros.Buffer(Duration(seconds=cache_s))
        self._edges: dict[str, _Edge] = {}
        self._parents: dict[str, str] = {}
        self._changed = threading.Condition()
        self._closed = False

    def record(
        self, parent: str, child: str, stamp_ns: int, position: Position, quaternion: Quaternion, *,
        static: bool = False,
    ) -> None:  # fmt: skip
        """Take a pose of `child` in `parent` (metres; x, y, z, w). A child that changes its parent starts anew.

        Raises:
            PoseError: cause ``tf_frame`` (names no two frames), ``pose_not_finite`` or ``pose_not_rigid``.
        """
        parent, child = frame_names(parent, child)
        message = _message(parent, child, stamp_ns, position, unit(position, quaternion))
        with self._changed:
            edge = self._edges.get(child)
            if edge is None or self._parents[child] != parent or edge.static != static:
                edge = self._edges[child] = _Edge(static, 0 if edge is None else edge.newest_ns + 1)
                self._parents[child] = parent
            elif not static and stamp_ns < edge.newest_ns - JUMP_BACK_NS:
                self._clear_locked()
            edge.extend(stamp_ns)
            (self._buffer.set_transform_static if static else self._buffer.set_transform)(message, AUTHORITY)
            self._changed.notify_all()

    def lookup(self, target: str, source: str, stamp_ns: int | None) -> Float64[np.ndarray, "4 4"]:
        """Return `T_target_source` at `stamp_ns`; None: the newest that tf2 has of the whole chain.

        Raises:
            PoseError: cause ``tf_unknown_frame``, ``tf_disconnected``, ``tf_extrapolation`` or ``tf_loop``.
        """
        with self._changed:
            return self._lookup_locked(target.lstrip("/"), source.lstrip("/"), stamp_ns)

    def wait(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> Float64[np.ndarray, "4 4"]:
        """As `lookup`, waiting up to `timeout_s` for transforms that may still come.

        Raises:
            PoseError: as `lookup`.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                try:
                    return self._lookup_locked(target.lstrip("/"), source.lstrip("/"), stamp_ns)
                except PoseError as error:
                    left = deadline - time.monotonic()
                    if error.cause == "tf_loop" or self._closed or left <= 0:
                        raise
                    self._changed.wait(left)

    def newest_stamp(self, target: str, source: str) -> int | None:
        """Return the newest stamp at which all that moves between two frames is known; None: nothing there moves.

        Raises:
            PoseError: cause ``tf_unknown_frame``, ``tf_disconnected`` or ``tf_loop``.
        """
        with self._changed:
            moving = self._moving_locked(target.lstrip("/"), source.lstrip("/"))
            return min((edge.newest_ns for _, edge in moving), default=None)

    def clear(self) -> None:
        """Forget all that moves, e.g. because time has jumped back; what is static stays."""
        with self._changed:
            self._clear_locked()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _clear_locked(self) -> None:
        self._buffer.clear()
        for edge in self._edges.values():
            if not edge.static:
                edge.forget()

    def _moving_locked(self, target: str, source: str) -> list[tuple[str, _Edge]]:
        up, down = chains(self._parents, target, source)
        return [(frame, self._edges[frame]) for frame in (*up, *down) if not self._edges[frame].static]

    def _lookup_locked(self, target: str, source: str, stamp_ns: int | None) -> Float64[np.ndarray, "4 4"]:
        if target == source:
            return np.eye(4)
        for frame, edge in self._moving_locked(target, source):
            if stamp_ns is None or edge.since_ns <= stamp_ns <= edge.newest_ns:
                continue
            behind = stamp_ns - edge.newest_ns
            side = f"{behind / 1e9:.3f} s after its newest transform: its publisher is slow or stopped"
            if behind < 0:
                side = f"{(edge.since_ns - stamp_ns) / 1e9:.3f} s before its oldest transform: the frame came too late"
            raise PoseError("tf_extrapolation", f"{frame} in {self._parents[frame]} is asked for {side}")
        try:
            found = self._buffer.lookup_transform_core(target, source, Time(nanoseconds=stamp_ns or 0))
        except self._refusals as error:
            raise PoseError("tf_extrapolation", str(error)) from error
        p, q = found.transform.translation, found.transform.rotation
        return pose_matrix(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def _message(
    parent: str, child: str, stamp_ns: int, position: Position, quaternion: Quaternion
) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    p, q = message.transform.translation, message.transform.rotation
    p.x, p.y, p.z = position
    q.x, q.y, q.z, q.w = quaternion
    return message
