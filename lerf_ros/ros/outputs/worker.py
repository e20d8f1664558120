# SPDX-License-Identifier: Apache-2.0
"""The thread that works out what is published, so that neither the executor nor a query ever waits for a picture."""

import logging
import threading
import time
from collections.abc import Callable

from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation

from lerf_ros.ros.outputs.tally import QueryTally

RCLError: type[Exception] = rclpy_implementation.RCLError
PATIENCE_S = 0.5

_log = logging.getLogger(__name__)


class OutputWorker:
    """Runs jobs by name, one at a time: of a name that waits, only the newest job is run.

    No job begins while a query is answered (for `PATIENCE_S` at most), and after each it rests as long as the job took
    this thread's CPU: it never has more than half a core. A part, so that the node can end it; closed after all parts
    that give it jobs.
    """

    def __init__(self, queries: QueryTally) -> None:
        self._queries = queries
        self._jobs: dict[str, Callable[[], None]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="lerf-outputs", daemon=True)
        self._thread.start()

    def ask(self, name: str, job: Callable[[], None]) -> None:
        """Have `job` run soon, in place of one of that name that still waits (and in its place in the queue)."""
        with self._changed:
            self._jobs[name] = job
            self._changed.notify_all()

    def activate(self) -> None:
        """Nothing to begin."""

    def deactivate(self) -> None:
        """Nothing to stop: the map still answers, and so do its pictures."""

    def close(self) -> None:
        """Drop what waits, have the thread end after what it is doing; `join` waits for that."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()

    def join(self, deadline: float) -> bool:
        """Wait until the thread has ended, until `deadline` (time.monotonic) at most; return whether it has."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            _log.error("an output was not ready in time (runtime.join_timeout_s)")
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (next_job := self._next()) is not None:
            name, job = next_job
            self._queries.wait_idle(PATIENCE_S)
            begin = time.thread_time()
            try:
                job()
            except (RCLError, InvalidHandle):
                _log.debug("%s was not published: its topic is gone", name)
            except Exception:
                _log.exception("%s could not be made", name)
            self._rest(time.thread_time() - begin)

    def _next(self) -> tuple[str, Callable[[], None]] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._jobs)
            if self._closed:
                return None
            name = next(iter(self._jobs))
            return name, self._jobs.pop(name)

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)
