# SPDX-License-Identifier: Apache-2.0
"""Failures in a row of one thread: a few are logged, more are a fault that `~/status` tells of."""

import logging

from lerf_ros.runtime.stats import LoopCounters

FAILURE_CAP = 5  # failures in a row after which a thread reports a fault

_log = logging.getLogger(__name__)


class Failures:
    """Counts them. Used by that thread alone."""

    def __init__(self, thread: str, counters: LoopCounters) -> None:
        self._thread = thread
        self._counters = counters
        self._in_a_row = 0

    @property
    def too_many(self) -> bool:
        """Whether the thread had better stop trying."""
        return self._in_a_row >= FAILURE_CAP

    def happened(self, error: Exception) -> None:
        """Count one more."""
        self._in_a_row += 1
        _log.error("%s failed, %d in a row: %s: %s", self._thread, self._in_a_row, type(error).__name__, error,
                   exc_info=True)  # fmt: skip
        if self.too_many:
            self._counters.fault(
                self._thread, f"{self._thread} failed {self._in_a_row} times in a row, last: {error}"
            )

    def forget(self) -> None:
        """It went well, or something may have cured it."""
        self._in_a_row = 0
