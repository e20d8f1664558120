# SPDX-License-Identifier: Apache-2.0
"""One look at the whole node, from which `~/status` and `/diagnostics` are written. Knows no messages."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.ros.outputs.tally import QueryStats
from lerf_ros.ros.selfcheck.fault import Fault
from lerf_ros.runtime.stats import LoopStats

LATELY_S = 5.0


@dataclass(frozen=True)
class CameraLook:
    """One camera.

    Attributes:
        name: of the camera; empty: the only one.
        topic: its images come on, resolved.
        hz: images a second lately.
        silent_s: since its last image, or since activation while none has come; seconds.
        seen: whether one has come since activation.
    """

    name: str
    topic: str
    hz: float
    silent_s: float
    seen: bool


@dataclass(frozen=True)
class Lately:
    """What happened in the last seconds.

    Attributes:
        seconds: how long that is.
        received: frames that arrived.
        drops: frames that were not used, by cause.
        skipped: training steps left out because they were not finite.
        refused: transforms and poses that were not used, by cause.
    """

    seconds: float
    received: int
    drops: Mapping[str, int]
    skipped: int
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """The node at one moment.

    Attributes:
        active: it receives and trains.
        cameras: those subscribed to.
        image_timeout_s: silence of a camera that is worth a warning.
        stats: of the mapping loop.
        drops: frames since the start, by cause.
        refused: transforms and poses since the start, by cause.
        lately: of the last seconds.
        points, stale_points: of the published map.
        snapshot_period_s: longest time that is meant to pass between two maps.
        memory_mb, free_mb: this process's resident memory, and what is left for anybody (None: unknown), 10^6 bytes.
        queries: how they went.
        faults: that the self-check names.
    """

    active: bool
    cameras: tuple[CameraLook, ...]
    image_timeout_s: float
    stats: LoopStats
    drops: Mapping[str, int]
    lately: Lately
    points: int
    stale_points: int
    snapshot_period_s: float
    memory_mb: float
    free_mb: float | None
    queries: QueryStats
    faults: tuple[Fault, ...]
    refused: Mapping[str, int] = field(default_factory=dict)


def all_drops(stats: LoopStats, unmatched: Mapping[str, int]) -> Counter[str]:
    """Return all that was dropped since the start, by cause: frames, and transforms and poses that were refused."""
    drops = Counter(stats.dropped)
    drops.update(unmatched)
    if stats.mailbox_dropped:
        drops["encoder_behind"] += stats.mailbox_dropped
    return drops


def stale_points(snapshot: FieldSnapshot | None) -> int:
    """Return how many points of the published map newer images contradict."""
    return 0 if snapshot is None else int(snapshot.surface.stale.sum())


class Recent:
    """Turns counters into what happened lately. Used by one thread.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._past: deque[tuple[float, int, Counter[str], int, Counter[str]]] = deque()

    def look(self, received: int, drops: Counter[str], skipped: int, refused: Counter[str]) -> Lately:
        """Take counters as they are now; return what they were raised by in the last seconds."""
        now = self._clock()
        self._past.append((now, received, drops, skipped, refused))
        while now - self._past[0][0] > LATELY_S:
            self._past.popleft()
        since, before, dropped, left_out, unused = self._past[0]
        return Lately(
            now - since, max(received - before, 0), drops - dropped, max(skipped - left_out, 0), refused - unused
        )
