# SPDX-License-Identifier: Apache-2.0
"""When the trainer may work, and when it publishes: a budget of CPU time, pauses for queries, a snapshot schedule."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MAX_PAUSE_S = 0.25
"""Longest wait of training for queries at one go; over time it waits at most half of it."""

PUBLISH_SHARE = 0.1
MIN_PERIOD_S = 0.4

Clock = Callable[[], float]


class CpuBudget:
    """Keeps one thread's work below a share of the CPU threads over time. Used by that thread alone.

    Work done in no hurry earns nothing: there is debt, never credit, so no burst exceeds the share either.

    Args:
        fraction: of all `threads`, in (0, 1].
        threads: what the fraction is of.
        clock: seconds, monotonic.
    """

    def __init__(self, fraction: float, threads: int, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.reconfigure(fraction, threads)

    def reconfigure(self, fraction: float, threads: int) -> None:
        """Keep to another share from now on; debts to the old one are forgiven."""
        self._allowed = fraction * threads
        self._unlimited = fraction >= 1.0
        self._resume_at = self._clock()

    @contextmanager
    def charged(self, threads: int) -> Iterator[None]:
        """Charge the time the block takes, as `threads` busy threads."""
        begin = self._clock()
        try:
            yield
        finally:
            cost_s = (self._clock() - begin) * threads / self._allowed
            self._resume_at = max(self._resume_at, begin) + cost_s

    def rest_s(self) -> float:
        """Return how long to rest before more work, seconds."""
        return 0.0 if self._unlimited else max(0.0, self._resume_at - self._clock())


class QueryGate:
    """Holds training back while a query is being answered, within bounds. Self-locked.

    One wait lasts at most `MAX_PAUSE_S`, and time waited must be earned by as much time not waited: a flood of queries
    halves the speed of training at worst.
    """

    def __init__(self, enabled: bool, clock: Clock = time.monotonic) -> None:
        self._enabled = enabled
        self._clock = clock
        self._answering = 0
        self._closed = False
        self._earned_s = MAX_PAUSE_S
        self._resumed = clock()
        self._changed = threading.Condition()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Mark that a query is being answered; from any thread."""
        with self._changed:
            self._answering += 1
        try:
            yield
        finally:
            with self._changed:
                self._answering -= 1
                if not self._answering:
                    self._changed.notify_all()

    def wait(self) -> None:
        """Wait until no query is being answered, or as long as has been earned; the trainer calls it before a step."""
        with self._changed:
            begin = self._clock()
            self._earned_s = min(MAX_PAUSE_S, self._earned_s + begin - self._resumed)
            if self._enabled and self._answering:
                self._changed.wait_for(lambda: not self._answering or self._closed, self._earned_s)
            self._resumed = self._clock()
            self._earned_s = max(0.0, self._earned_s - (self._resumed - begin))

    def enable(self, enabled: bool) -> None:
        """Hold training back for queries from now on, or do not."""
        with self._changed:
            self._enabled = enabled

    def close(self) -> None:
        """Hold nobody back any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class SnapshotSchedule:
    """When the next snapshot is due. Used by the trainer thread alone.

    A small map is published often, because that costs little: publishing takes about a tenth of training's time until
    the period reaches its limit. The first map that queries may be answered from is due at once.

    Args:
        longest_s: limit of the period, seconds.
        first: keyframes and steps from which queries are answered.
        clock: seconds, monotonic.
    """

    def __init__(self, longest_s: float, first: tuple[int, int], clock: Clock = time.monotonic) -> None:
        self._longest_s = longest_s
        self._first = first
        self._clock = clock
        self._period_s = min(MIN_PERIOD_S, longest_s)
        self._published_at = clock()
        self._answerable = False

    def reconfigure(self, longest_s: float, first: tuple[int, int]) -> None:
        """Keep to another limit from now on."""
        self._longest_s = longest_s
        self._first = first
        self._period_s = min(self._period_s, longest_s)

    def restart(self) -> None:
        """Begin anew, with another map."""
        self._period_s = min(MIN_PERIOD_S, self._longest_s)
        self._published_at = self._clock()
        self._answerable = False

    def due(self, keyframes: int, steps: int) -> bool:
        """Return whether to publish now."""
        if not self._answerable and keyframes >= self._first[0] and steps >= self._first[1]:
            return True
        return self._clock() - self._published_at >= self._period_s

    def published(self, keyframes: int, steps: int, cost_s: float) -> None:
        """Say what was published, and how long it took."""
        self._answerable = self._answerable or (keyframes >= self._first[0] and steps >= self._first[1])
        self._published_at = self._clock()
        self._period_s = min(max(cost_s / PUBLISH_SHARE, MIN_PERIOD_S), self._longest_s)
