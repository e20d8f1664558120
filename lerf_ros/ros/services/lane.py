# SPDX-License-Identifier: Apache-2.0
"""A thread that does one job after another, of which only so many may wait. Knows no ROS."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    """What to do, and what to answer instead if it is never done: a reason becomes an answer."""

    do: Callable[[], Any]
    refuse: Callable[[str], Any]
    failed: Callable[[str], Any]
    answer: "Future[Any]"


class Lane:
    """Jobs in order of arrival, each answered by a future that is always set.

    Args:
        name: of the thread, and to say who is busy.
        limit: most jobs that wait.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._limit = name, limit
        self._jobs: deque[_Job] = deque()
        self._closed = False
        self._changed = threading.Condition()
        # a daemon: a job that hangs must not keep the process from ending
        self._thread = threading.Thread(target=self._work, name=f"lerf-{name}", daemon=True)
        self._thread.start()

    def submit(
        self, do: Callable[[], Any], refuse: Callable[[str], Any], failed: Callable[[str], Any] | None = None
    ) -> "Future[Any]":
        """Have `do` done, or answer at once with what `refuse` makes of the reason why not. Never blocks.

        What `do` raises is answered with what `failed` makes of it, or `refuse` where that is not given.
        """
        answer: Future[Any] = Future()
        with self._changed:
            reason = ""
            if self._closed:
                reason = "the node is being taken down"
            elif len(self._jobs) >= self._limit:
                reason = f"busy: {len(self._jobs)} requests wait already; ask again later"
            else:
                self._jobs.append(_Job(do, refuse, failed or refuse, answer))
                self._changed.notify()
        if reason:
            answer.set_result(refuse(reason))
        return answer

    def close(self) -> None:
        """Refuse what waits and what comes; what is being done goes on. Does not wait."""
        with self._changed:
            self._closed = True
            left = list(self._jobs)
            self._jobs.clear()
            self._changed.notify()
        for job in left:
            job.answer.set_result(job.refuse("the node is being taken down"))

    def join(self, deadline: float) -> bool:
        """Wait until the thread has ended, until `deadline` (time.monotonic) at most; return whether it has."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.answer.set_result(job.do())
            except Exception as error:
                _log.exception("a job of %s failed", self._name)
                job.answer.set_result(job.failed(f"{type(error).__name__}: {error}"))
            del job  # it may hold much, and the next may be long in coming

    def _next(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            return self._jobs.popleft() if self._jobs else None
