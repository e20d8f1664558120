# SPDX-License-Identifier: Apache-2.0
"""How queries went: counted by the service, read by diagnostics and by whoever shows the last phrase."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lerf_ros.msg import QueryResult
from lerf_ros.srv import Query

LATELY_S = 60.0
KEPT = 256
"""Answers of which the percentiles are taken."""


@dataclass(frozen=True)
class QueryStats:
    """One look at the queries so far.

    Attributes:
        count: answered, refused ones included.
        refused: held something that cannot be asked.
        failed: the node failed while answering.
        p50_s, p95_s: time an answer took, of the last few hundred, seconds.
        refusal: why the last one was refused, if that was within the last minute; else "".
        failure: the same of the last failure.
    """

    count: int
    refused: int
    failed: int
    p50_s: float
    p95_s: float
    refusal: str
    failure: str


class QueryTally:
    """Self-locked."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._answering = 0
        self._seconds: deque[float] = deque(maxlen=KEPT)
        self._count = self._refused = self._failed = 0
        self._last_phrase = ""
        self._refusal, self._failure = ("", 0.0), ("", 0.0)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Mark that a query is being answered."""
        with self._lock:
            self._answering += 1
        try:
            yield
        finally:
            with self._lock:
                self._answering -= 1
                self._lock.notify_all()

    def wait_idle(self, timeout_s: float) -> None:
        """Wait until no query is being answered, `timeout_s` at most."""
        with self._lock:
            self._lock.wait_for(lambda: not self._answering, timeout_s)

    def answered(self, seconds: float, response: Query.Response) -> None:
        """One query was answered, which took so long."""
        now = time.monotonic()
        asked = [r.prompt for r in response.results if r.status not in (QueryResult.BAD_REQUEST, QueryResult.INTERNAL)]
        failed = [r.message for r in response.results if r.status == QueryResult.INTERNAL]
        refused = [r.message for r in response.results if r.status == QueryResult.BAD_REQUEST]
        if response.message and not failed:
            refused.append(response.message)
        with self._lock:
            self._count += 1
            self._seconds.append(seconds)
            self._last_phrase = asked[0] if asked else self._last_phrase
            if failed:
                self._failed, self._failure = self._failed + 1, (failed[0], now)
            if refused:
                self._refused, self._refusal = self._refused + 1, (refused[0], now)

    @property
    def last_phrase(self) -> str:
        """The first phrase of the last query that could be asked; "" before the first."""
        return self._last_phrase

    def read(self) -> QueryStats:
        """Return a frozen copy."""
        since = time.monotonic() - LATELY_S
        with self._lock:
            seconds = sorted(self._seconds)
            return QueryStats(
                self._count, self._refused, self._failed, _share(seconds, 0.5), _share(seconds, 0.95),
                _if_after(self._refusal, since), _if_after(self._failure, since),
            )  # fmt: skip


def _share(ascending: list[float], share: float) -> float:
    return ascending[int(share * (len(ascending) - 1))] if ascending else 0.0


def _if_after(said: tuple[str, float], since: float) -> str:
    return said[0] if said[1] > since else ""
