# SPDX-License-Identifier: Apache-2.0
"""What the mapping loop has done so far: counters that its threads write and anyone reads as one frozen copy."""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lerf_ros.core.trainer import StepReport

RATE_WINDOW_S = 5.0
RESTING_AFTER_S = 2.0


@dataclass(frozen=True)
class LoopStats:
    """One look at the loop.

    Attributes:
        received: frames submitted.
        keyframes: keyframes in the map.
        not_moved: frames whose camera had not moved enough.
        dropped: frames not used, by cause (without those the mailbox dropped).
        mailbox_dropped: frames the mailbox dropped because the encoder was busy.
        steps: training steps done.
        steps_per_s: over the last few seconds; 0 while training rests.
        report: of the last step; None before the first.
        encode_s: time the last keyframe's preparation took, seconds.
        snapshot_step: training step of the published snapshot; -1 before the first.
        snapshot_age_s: since it was published, seconds; 0 before the first.
        encoder_alive: its thread runs.
        trainer_alive: its thread runs.
        fault: why mapping does not go on; empty: all is well.
    """

    received: int
    keyframes: int
    not_moved: int
    dropped: Mapping[str, int]
    mailbox_dropped: int
    steps: int
    steps_per_s: float
    report: "StepReport | None"
    encode_s: float
    snapshot_step: int
    snapshot_age_s: float
    encoder_alive: bool
    trainer_alive: bool
    fault: str


class LoopCounters:
    """The writable side of `LoopStats`. Self-locked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._not_moved = 0
        self._dropped: Counter[str] = Counter()
        self._report: StepReport | None = None
        self._step_times: deque[float] = deque()
        self._encode_s = 0.0
        self._snapshot_step = -1
        self._snapshot_time = 0.0
        self._faults: dict[str, str] = {}

    def received(self) -> None:
        """One frame was submitted."""
        with self._lock:
            self._received += 1

    def drop(self, cause: str, count: int = 1) -> None:
        """Frames were not used, for `cause`."""
        with self._lock:
            self._dropped[cause] += count

    def prepared(self, seconds: float, *, kept: bool) -> None:
        """One frame went through the encoder thread without error."""
        with self._lock:
            self._faults.pop("encoder", None)
            if kept:
                self._encode_s = seconds
            else:
                self._not_moved += 1

    def stepped(self, report: "StepReport") -> None:
        """One training step was done."""
        now = time.monotonic()
        with self._lock:
            self._faults.pop("trainer", None)
            self._report = report
            self._step_times.append(now)
            while now - self._step_times[0] > RATE_WINDOW_S:
                self._step_times.popleft()

    def published(self, step: int) -> None:
        """A snapshot was published."""
        with self._lock:
            self._snapshot_step = step
            self._snapshot_time = time.monotonic()

    def fault(self, thread: str, text: str) -> None:
        """`thread` cannot go on; stays until that thread succeeds again."""
        with self._lock:
            self._faults[thread] = text

    def read(
        self, *, keyframes: int, steps: int, mailbox_dropped: int, encoder_alive: bool, trainer_alive: bool
    ) -> LoopStats:
        """Return a frozen copy, completed by what others know."""
        now = time.monotonic()
        with self._lock:
            return LoopStats(
                received=self._received,
                keyframes=keyframes,
                not_moved=self._not_moved,
                dropped=MappingProxyType(dict(self._dropped)),
                mailbox_dropped=mailbox_dropped,
                steps=steps,
                steps_per_s=self._rate_locked(now),
                report=self._report,
                encode_s=self._encode_s,
                snapshot_step=self._snapshot_step,
                snapshot_age_s=now - self._snapshot_time if self._snapshot_step >= 0 else 0.0,
                encoder_alive=encoder_alive,
                trainer_alive=trainer_alive,
                fault="; ".join(self._faults.values()),
            )

    def _rate_locked(self, now: float) -> float:
        times = self._step_times
        if len(times) < 2 or now - times[-1] > RESTING_AFTER_S:
            return 0.0
        return (len(times) - 1) / max(times[-1] - times[0], 1e-9)
