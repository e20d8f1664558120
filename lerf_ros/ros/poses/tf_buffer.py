# SPDX-License-Identifier: Apache-2.0
"""A tree of transforms over time: what tf2's buffer does, for machines without tf2. Knows no ROS types.

Between two samples it interpolates (slerp and lerp); it never extrapolates and never invents a pose. Recording costs
the same however much is remembered, and a lookup the logarithm of it: arms publish at 500 Hz.
"""

import threading
import time
from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from lerf_ros.core.geometry import invert, pose_matrix, quaternion_from_matrix
from lerf_ros.errors import PoseError
from lerf_ros.ros.poses.source import Position, Quaternion, frame_names, unit
from lerf_ros.ros.poses.tree import chains

JUMP_BACK_NS = 1_000_000_000  # later than this a transform is not late, time has gone back

_Sample = tuple[Position, Quaternion]


class _LateError(PoseError):
    """A transform is not there yet: of `child`, at `stamp_ns` or later."""

    def __init__(self, message: str, child: str, stamp_ns: int) -> None:
        super().__init__("tf_extrapolation", message)
        self.child = child
        self.stamp_ns = stamp_ns


@dataclass
class _Edge:
    """Pose history of one frame in its parent, oldest first; a static one has a single entry.

    What is older than the cache lies before `begin` until it is worth moving the rest.
    """

    parent: str
    static: bool
    stamps_ns: list[int] = field(default_factory=list)
    samples: list[_Sample] = field(default_factory=list)
    begin: int = 0

    def add(self, stamp_ns: int, sample: _Sample, cache_ns: int) -> None:
        if self.static or (self.stamps_ns and stamp_ns < self.stamps_ns[-1] - JUMP_BACK_NS):
            self.forget()  # of a moving one: time has jumped back, a bag starts again
        if not self.stamps_ns or stamp_ns > self.stamps_ns[-1]:
            self.stamps_ns.append(stamp_ns)
            self.samples.append(sample)
        else:
            at = bisect_left(self.stamps_ns, stamp_ns)
            if self.stamps_ns[at] == stamp_ns:
                self.samples[at] = sample
            else:
                self.stamps_ns.insert(at, stamp_ns)
                self.samples.insert(at, sample)
        while self.stamps_ns[self.begin] < self.stamps_ns[-1] - cache_ns:
            self.begin += 1
        if 2 * self.begin > len(self.stamps_ns):
            del self.stamps_ns[: self.begin], self.samples[: self.begin]
            self.begin = 0

    def forget(self) -> None:
        self.stamps_ns, self.samples, self.begin = [], [], 0

    def at(self, stamp_ns: int | None, child: str) -> Float64[np.ndarray, "4 4"]:
        if not self.stamps_ns:
            raise _LateError(f"{child} in {self.parent} is not known since time jumped back", child, stamp_ns or 0)
        if self.static or stamp_ns is None:
            return _matrix(self.samples[-1])
        if stamp_ns > self.stamps_ns[-1]:
            text = self._outside(stamp_ns - self.stamps_ns[-1], "after its newest", child)
            raise _LateError(f"{text}: its publisher is slow or stopped", child, stamp_ns)
        if stamp_ns < self.stamps_ns[self.begin]:
            text = self._outside(self.stamps_ns[self.begin] - stamp_ns, "before its oldest", child)
            raise _LateError(f"{text}: the frame came too late", child, 0)
        at = bisect_left(self.stamps_ns, stamp_ns, self.begin)
        if self.stamps_ns[at] == stamp_ns:
            return _matrix(self.samples[at])
        before, after = self.stamps_ns[at - 1], self.stamps_ns[at]
        return _between(self.samples[at - 1], self.samples[at], (stamp_ns - before) / (after - before))

    def _outside(self, apart_ns: int, side: str, child: str) -> str:
        return f"{child} in {self.parent} is asked for {apart_ns / 1e9:.3f} s {side} transform"


def interpolate(
    T_a: Float64[np.ndarray, "4 4"], T_b: Float64[np.ndarray, "4 4"], share: float
) -> Float64[np.ndarray, "4 4"]:
    """Return the pose `share` (0 to 1) of the way from `T_a` to `T_b`: slerp of rotations, lerp of positions."""
    return _between(_sample(T_a), _sample(T_b), share)


def _between(a: _Sample, b: _Sample, share: float) -> Float64[np.ndarray, "4 4"]:
    (p_a, q_a), (p_b, q_b) = ((np.array(p), np.array(q)) for p, q in (a, b))
    cosine = float(q_a @ q_b)
    if cosine < 0:  # the same rotation, the short way round
        q_b, cosine = -q_b, -cosine
    angle = float(np.arccos(min(cosine, 1.0)))
    if angle < 1e-6:
        q = (1 - share) * q_a + share * q_b
    else:
        q = (np.sin((1 - share) * angle) * q_a + np.sin(share * angle) * q_b) / np.sin(angle)
    return pose_matrix((1 - share) * p_a + share * p_b, q / np.linalg.norm(q))


def _matrix(sample: _Sample) -> Float64[np.ndarray, "4 4"]:
    return pose_matrix(np.array(sample[0]), np.array(sample[1]))


def _sample(T: Float64[np.ndarray, "4 4"]) -> _Sample:
    x, y, z = (float(p) for p in T[:3, 3])
    qx, qy, qz, qw = (float(q) for q in quaternion_from_matrix(T[:3, :3]))
    return (x, y, z), (qx, qy, qz, qw)


class TfBuffer:
    """A `PoseSource` of our own. Self-locked: subscriptions write, any thread looks up and may wait."""

    def __init__(self, cache_s: float = 10.0) -> None:
        self._cache_ns = int(cache_s * 1e9)
        self._edges: dict[str, _Edge] = {}
        self._parents: dict[str, str] = {}
        self._changed = threading.Condition()
        self._awaited: dict[str, int] = {}  # child -> stamp from which on somebody waits for it
        self._waiting = 0
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
        sample = (position, unit(position, quaternion))
        with self._changed:
            edge = self._edges.get(child)
            new = edge is None or edge.parent != parent or edge.static != static
            if edge is None or new:
                edge = self._edges[child] = _Edge(parent, static)
                self._parents[child] = parent
            edge.add(stamp_ns, sample, self._cache_ns)
            # Thousands of transforms a second may come; only one that somebody lacks wakes who waits.
            if new or stamp_ns >= self._awaited.get(child, stamp_ns + 1):
                self._changed.notify_all()

    def add(
        self, parent: str, child: str, stamp_ns: int, T_parent_child: Float64[np.ndarray, "4 4"], *,
        static: bool = False,
    ) -> None:  # fmt: skip
        """As `record`, of a matrix.

        Raises:
            PoseError: as `record`.
        """
        self.record(parent, child, stamp_ns, *_sample(T_parent_child), static=static)

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
            self._waiting += 1
            try:
                while True:
                    try:
                        return self._lookup_locked(target.lstrip("/"), source.lstrip("/"), stamp_ns)
                    except PoseError as error:
                        left = deadline - time.monotonic()
                        if error.cause == "tf_loop" or self._closed or left <= 0:
                            raise
                        if isinstance(error, _LateError):
                            self._awaited[error.child] = min(error.stamp_ns, self._awaited.get(error.child, 2**63))
                        self._changed.wait(left)
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self._awaited.clear()

    def newest_stamp(self, target: str, source: str) -> int | None:
        """Return the newest stamp at which all that moves between two frames is known; None: nothing there moves.

        Raises:
            PoseError: cause ``tf_unknown_frame``, ``tf_disconnected`` or ``tf_loop``.
        """
        with self._changed:
            up, down = chains(self._parents, target.lstrip("/"), source.lstrip("/"))
            moving = [edge for edge in (self._edges[frame] for frame in (*up, *down)) if not edge.static]
            return min((edge.stamps_ns[-1] if edge.stamps_ns else 0 for edge in moving), default=None)

    def nearest_stamp(self, child: str, stamp_ns: int) -> int | None:
        """Return the stamp of the sample of `child` that is nearest to `stamp_ns`; None: there is none."""
        with self._changed:
            edge = self._edges.get(child.lstrip("/"))
            if edge is None or not edge.stamps_ns:
                return None
            at = bisect_left(edge.stamps_ns, stamp_ns, edge.begin)
            return min(edge.stamps_ns[max(at - 1, edge.begin) : at + 1], key=lambda s: abs(s - stamp_ns))

    def clear(self) -> None:
        """Forget all that moves, e.g. because time has jumped back; what is static stays."""
        with self._changed:
            for edge in self._edges.values():
                if not edge.static:
                    edge.forget()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _lookup_locked(self, target: str, source: str, stamp_ns: int | None) -> Float64[np.ndarray, "4 4"]:
        up, down = chains(self._parents, target, source)
        return np.asarray(invert(self._down_locked(up, stamp_ns)) @ self._down_locked(down, stamp_ns))

    def _down_locked(self, frames: list[str], stamp_ns: int | None) -> Float64[np.ndarray, "4 4"]:
        """Return the pose of `frames[0]` in the parent of `frames[-1]`."""
        T = np.eye(4)
        for frame in frames:
            T = self._edges[frame].at(stamp_ns, frame) @ T
        return T
