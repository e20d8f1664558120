# SPDX-License-Identifier: Apache-2.0
"""The published snapshot, and the trainer's side of publishing it."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lerf_ros.runtime.driven import Mapper
from lerf_ros.runtime.pacing import SnapshotSchedule
from lerf_ros.runtime.stats import LoopCounters

if TYPE_CHECKING:
    from lerf_ros.core.snapshot import FieldSnapshot


class Publisher:
    """Publishes what the trainer has learned when it is time. Used by the trainer thread; anyone reads `newest`.

    Attributes:
        newest: the published snapshot: one reference, swapped whole; None before the first.
        behind: whether something was learned that it does not hold.
    """

    def __init__(
        self, mapper: Mapper, schedule: SnapshotSchedule, counters: LoopCounters, now_ns: Callable[[], int]
    ) -> None:
        self._mapper = mapper
        self._schedule = schedule
        self._counters = counters
        self._now_ns = now_ns
        self._stamp_ns = 0
        self.newest: FieldSnapshot | None = None
        self.behind = False

    def reconfigure(self, longest_s: float, first: tuple[int, int]) -> None:
        """Keep to another schedule from now on: arguments as of `SnapshotSchedule`."""
        self._schedule.reconfigure(longest_s, first)

    def due(self) -> bool:
        """Return whether it is time."""
        return self._schedule.due(self._mapper.keyframe_count, self._mapper.step_count)

    def renew(self) -> None:
        """Show what the map is after it was changed as a whole: nothing, if it is none any more."""
        self._schedule.restart()
        self._stamp_ns = 0
        self.publish()

    def publish(self) -> None:
        """Freeze the map and let it be seen; without a keyframe there is nothing to see."""
        begin = time.monotonic()
        snapshot = self._mapper.publish()
        self._schedule.published(self._mapper.keyframe_count, self._mapper.step_count, time.monotonic() - begin)
        self.behind = False
        self.newest = snapshot
        if snapshot is None:
            self._counters.published(-1)
            return
        self._counters.published(snapshot.step)
        if snapshot.stamp_ns != self._stamp_ns:  # else it is no newer than the last one
            self._stamp_ns = snapshot.stamp_ns
            self._counters.mapped((self._now_ns() - snapshot.stamp_ns) / 1e9)
