# SPDX-License-Identifier: Apache-2.0
"""A tree of transforms over time: what tf2's buffer does, for machines without tf2. Knows no ROS types.

Between two samples it interpolates (slerp and lerp); it never extrapolates and never invents a pose.
"""

import bisect
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from lerf_ros.core.geometry import invert, pose_matrix, quaternion_from_matrix
from lerf_ros.errors import PoseError

MAX_DEPTH = 100  # frames in a chain; a longer one is a loop


JUMP_BACK_NS = 1_000_000_000  # later than this a transform is not late, time has gone back


@dataclass
class _Edge:
    """Pose history of one frame in its parent; a static one has a single entry."""

    parent: str
    static: bool
    stamps_ns: list[int] = field(default_factory=list)
    poses: list[Float64[np.ndarray, "4 4"]] = field(default_factory=list)

    def add(self, stamp_ns: int, T_parent_child: Float64[np.ndarray, "4 4"], cache_ns: int) -> None:
        if self.static:
            self.stamps_ns, self.poses = [stamp_ns], [T_parent_child]
            return
        if self.stamps_ns and stamp_ns < self.stamps_ns[-1] - JUMP_BACK_NS:  # time has jumped back: a bag starts again
            self.stamps_ns, self.poses = [], []
        at = bisect.bisect_left(self.stamps_ns, stamp_ns)
        if at < len(self.stamps_ns) and self.stamps_ns[at] == stamp_ns:
            self.poses[at] = T_parent_child
            return
        self.stamps_ns.insert(at, stamp_ns)
        self.poses.insert(at, T_parent_child)
        old = bisect.bisect_left(self.stamps_ns, self.stamps_ns[-1] - cache_ns)
        del self.stamps_ns[:old], self.poses[:old]

    def at(self, stamp_ns: int | None, child: str) -> Float64[np.ndarray, "4 4"]:
        if self.static or stamp_ns is None:
            return self.poses[-1]
        if stamp_ns < self.stamps_ns[0] or stamp_ns > self.stamps_ns[-1]:
            raise PoseError("tf_extrapolation", self._outside(stamp_ns, child))
        at = bisect.bisect_left(self.stamps_ns, stamp_ns)
        if self.stamps_ns[at] == stamp_ns:
            return self.poses[at]
        before, after = self.stamps_ns[at - 1], self.stamps_ns[at]
        return interpolate(self.poses[at - 1], self.poses[at], (stamp_ns - before) / (after - before))

    def _outside(self, stamp_ns: int, child: str) -> str:
        if stamp_ns > self.stamps_ns[-1]:
            side, apart_ns, why = "after its newest", stamp_ns - self.stamps_ns[-1], "its publisher is slow or stopped"
        else:
            side, apart_ns, why = "before its oldest", self.stamps_ns[0] - stamp_ns, "the frame came too late"
        return f"{child} in {self.parent} is asked for {apart_ns / 1e9:.3f} s {side} transform: {why}"


def interpolate(
    T_a: Float64[np.ndarray, "4 4"], T_b: Float64[np.ndarray, "4 4"], share: float
) -> Float64[np.ndarray, "4 4"]:
    """Return the pose `share` (0 to 1) of the way from `T_a` to `T_b`: slerp of rotations, lerp of positions."""
    q_a, q_b = quaternion_from_matrix(T_a[:3, :3]), quaternion_from_matrix(T_b[:3, :3])
    cosine = float(q_a @ q_b)
    if cosine < 0:  # the same rotation, the short way round
        q_b, cosine = -q_b, -cosine
    angle = float(np.arccos(min(cosine, 1.0)))
    if angle < 1e-6:
        q = (1 - share) * q_a + share * q_b
    else:
        q = (np.sin((1 - share) * angle) * q_a + np.sin(share * angle) * q_b) / np.sin(angle)
    return pose_matrix((1 - share) * T_a[:3, 3] + share * T_b[:3, 3], q / np.linalg.norm(q))


class TfBuffer:
    """Self-locked: subscriptions write, any thread looks up and may wait."""

    def __init__(self, cache_s: float = 10.0) -> None:
        self._cache_ns = int(cache_s * 1e9)
        self._edges: dict[str, _Edge] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        T_parent_child: Float64[np.ndarray, "4 4"],
        *,
        static: bool = False,
    ) -> None:
        """Record a pose of `child` in `parent`. A child that changes its parent starts anew.

        Raises:
            PoseError: cause ``tf_frame``, a name is empty or a frame is its own parent.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child or parent == child:
            raise PoseError("tf_frame", f"a transform from {parent!r} to {child!r} names no two frames")
        with self._changed:
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent or edge.static != static:
                edge = self._edges[child] = _Edge(parent, static)
            edge.add(stamp_ns, T_parent_child, self._cache_ns)
            self._changed.notify_all()

    def lookup(self, target: str, source: str, stamp_ns: int | None) -> Float64[np.ndarray, "4 4"]:
        """Return `T_target_source` at `stamp_ns`; None: the newest of every edge.

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

    def nearest_stamp(self, child: str, stamp_ns: int) -> int | None:
        """Return the stamp of the sample of `child` that is nearest to `stamp_ns`; None: there is none."""
        with self._changed:
            edge = self._edges.get(child.lstrip("/"))
            return min(edge.stamps_ns, key=lambda s: abs(s - stamp_ns)) if edge and edge.stamps_ns else None

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _lookup_locked(self, target: str, source: str, stamp_ns: int | None) -> Float64[np.ndarray, "4 4"]:
        if target == source:
            return np.eye(4)
        to_target, to_source = self._chain_locked(target), self._chain_locked(source)
        common = next((frame for frame in to_source if frame in to_target), None)
        if common is None:
            known = ", ".join(sorted({*self._edges, *(e.parent for e in self._edges.values())})) or "none"
            unknown = [f for f in (target, source) if f not in known.split(", ")]
            if unknown:
                raise PoseError("tf_unknown_frame", f"no transform names the frame {unknown[0]!r} (known: {known})")
            raise PoseError("tf_disconnected", f"{target!r} and {source!r} are in two trees that nothing connects")
        T_common_target = self._down_locked(to_target[: to_target.index(common)], stamp_ns)
        T_common_source = self._down_locked(to_source[: to_source.index(common)], stamp_ns)
        return np.asarray(invert(T_common_target) @ T_common_source)

    def _chain_locked(self, frame: str) -> list[str]:
        """Return `frame` and its ancestors, nearest first."""
        chain = [frame]
        while (edge := self._edges.get(chain[-1])) is not None:
            if edge.parent in chain or len(chain) > MAX_DEPTH:
                raise PoseError("tf_loop", f"transforms form a loop: {' <- '.join([*chain, edge.parent])}")
            chain.append(edge.parent)
        return chain

    def _down_locked(self, frames: list[str], stamp_ns: int | None) -> Float64[np.ndarray, "4 4"]:
        """Return the pose of `frames[0]` in the parent of `frames[-1]`."""
        T = np.eye(4)
        for frame in frames:
            T = self._edges[frame].at(stamp_ns, frame) @ T
        return T
