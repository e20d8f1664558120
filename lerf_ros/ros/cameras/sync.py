# SPDX-License-Identifier: Apache-2.0
"""Finds the messages that belong to one image: those of every other stream with the same stamp, or nearly."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class StampMatcher(Generic[T]):
    """Matches a leading stream with others by stamp. Not locked: all its streams share one callback group.

    A leader's partner in each stream is the message nearest in stamp, within the slop. It is taken at once where both
    stamps are equal, else when the stream has reached the leader's time, as a nearer one may still be on its way. A
    leader that can no longer be completed (a stream it lacks has since gone past it, or too many newer leaders wait) is
    dropped and counted under ``no_<stream>`` of the first stream it lacks. Each stream is expected in order of stamps;
    where time jumps back, matching goes on from there.

    Args:
        leader: name of the leading stream.
        others: names of the rest.
        slop_ns: largest difference from the leader's stamp; 0: equal stamps only.
        size: leaders kept waiting; of each other stream twice as many are kept.

    Attributes:
        matched: sets completed so far.
        closest_miss_ns: of what came after the last of them, how near it was to a leader at best, by stream.
    """

    def __init__(self, leader: str, others: Sequence[str], slop_ns: int, size: int) -> None:
        self._leader = leader
        self._others = tuple(others)
        self.slop_ns = slop_ns
        self._size = size
        self._arrivals = 0
        self._waiting: deque[_Arrived[T]] = deque()
        self._streams: dict[str, deque[_Arrived[T]]] = {name: deque(maxlen=2 * size) for name in others}
        self._dropped: Counter[str] = Counter()
        self.matched = 0
        self._matched_at = 0  # arrivals until then
        self.closest_miss_ns: dict[str, int] = {}

    @property
    def dropped(self) -> Mapping[str, int]:
        """Leaders dropped so far, by the cause ``no_<stream>``."""
        return dict(self._dropped)

    def add(self, stream: str, stamp_ns: int, message: T) -> list[dict[str, T]]:
        """Take one message; return the sets it completes, oldest first."""
        self._arrivals += 1
        arrived = _Arrived(stamp_ns, self._arrivals, message)
        (self._waiting if stream == self._leader else self._streams[stream]).append(arrived)
        complete = []
        while self._waiting:
            leader, late = self._waiting[0], len(self._waiting) > self._size
            found = {name: self._nearest(name, leader.stamp_ns) for name in self._others}
            missing = [name for name, match in found.items() if match is None]
            if not missing and (late or all(self._reached(name, leader.stamp_ns) for name in self._others)):
                self._waiting.popleft()
                self.matched += 1
                self._forget_misses()
                partners = {name: match.message for name, match in found.items() if match is not None}
                complete.append({self._leader: leader.message, **partners})
            elif late or any(self._is_past(name, leader) for name in missing):
                self._waiting.popleft()
                self._dropped[f"no_{missing[0]}"] += 1
            else:
                break
        return complete

    def clear(self) -> None:
        """Forget all messages that wait, and how near they were; the counts stay."""
        self._forget_misses()
        self._waiting.clear()
        for entries in self._streams.values():
            entries.clear()

    def _forget_misses(self) -> None:
        self.closest_miss_ns.clear()
        self._matched_at = self._arrivals

    def _reached(self, stream: str, stamp_ns: int) -> bool:
        """Return whether nothing nearer to a stamp can come on a stream."""
        return any(entry.stamp_ns >= stamp_ns for entry in self._streams[stream])

    def _nearest(self, stream: str, stamp_ns: int) -> "_Arrived[T] | None":
        entries = self._streams[stream]
        if not entries:
            return None
        nearest = min(entries, key=lambda entry: abs(entry.stamp_ns - stamp_ns))
        apart = abs(nearest.stamp_ns - stamp_ns)
        if apart > self.slop_ns:
            if nearest.order > self._matched_at:  # what a stream sent before it stopped is no near miss
                self.closest_miss_ns[stream] = min(apart, self.closest_miss_ns.get(stream, apart))
            return None
        return nearest

    def _is_past(self, stream: str, leader: "_Arrived[T]") -> bool:
        newest = self._streams[stream][-1] if self._streams[stream] else leader
        return newest.order > leader.order and newest.stamp_ns > leader.stamp_ns + self.slop_ns


@dataclass(frozen=True)
class _Arrived(Generic[T]):
    stamp_ns: int
    order: int
    message: T
