# SPDX-License-Identifier: Apache-2.0
"""What the mapping loop has done so far: counters that its threads write and anyone reads as one frozen copy."""

import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lerf_ros.core.trainer import StepReport

CALLBACKS = 256  # of which the 95th percentile is taken
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
        steps_skipped: steps of either field that were left out because their loss or gradient was not finite.
        encode_s: time the last keyframe's preparation took, seconds.
        callback_p95_s: time that one of the last few hundred messages took the thread that hands them over, seconds.
        keyframe_latency_s: from the stamp of the newest keyframe until the map had taken it, seconds.
        map_latency_s: from the stamp of the newest keyframe until a snapshot held it, seconds.
        snapshot_step: training step of the published snapshot; -1 before the first.
        snapshot_age_s: since it was published, seconds; 0 before the first.
        encoder_alive: its thread runs.
        trainer_alive: its thread runs.
        training: "waiting" for a first keyframe, "running", "resting" until there is a new one, "paused" on request,
            "inactive" while suspended, or "stopped" by a fault.
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
    steps_skipped: int
    encode_s: float
    callback_p95_s: float
    keyframe_latency_s: float
    map_latency_s: float
    snapshot_step: int
    snapshot_age_s: float
    encoder_alive: bool
    trainer_alive: bool
    training: str
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
        self._callbacks_s: deque[float] = deque(maxlen=CALLBACKS)
        self._keyframe_latency_s = 0.0
        self._map_latency_s = 0.0
        self._snapshot_step = -1
        self._snapshot_time = 0.0
        self._faults: dict[str, str] = {}

    def received(self) -> None:
        """One frame was submitted."""
        with self._lock:
            self._received += 1

    def received_in(self, seconds: float) -> None:
        """One message was handed over, which took so long."""
        with self._lock:
            self._callbacks_s.append(seconds)

    def added(self, latency_s: float) -> None:
        """A keyframe is in the map, so long after its stamp."""
        with self._lock:
            self._keyframe_latency_s = latency_s

    def mapped(self, latency_s: float) -> None:
        """The newest keyframe is in a snapshot for the first time, so long after its stamp."""
        with self._lock:
            self._map_latency_s = latency_s

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
        self,
        *,
        keyframes: int,
        steps: int,
        mailbox_dropped: int,
        encoder_alive: bool,
        trainer_alive: bool,
        training: str,
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
                steps_skipped=0 if self._report is None else self._report.skipped,
                encode_s=self._encode_s,
                callback_p95_s=_p95(self._callbacks_s),
                keyframe_latency_s=self._keyframe_latency_s,
                map_latency_s=self._map_latency_s,
                snapshot_step=self._snapshot_step,
                snapshot_age_s=now - self._snapshot_time if self._snapshot_step >= 0 else 0.0,
                encoder_alive=encoder_alive,
                trainer_alive=trainer_alive,
                training=training,
                fault="; ".join(self._faults.values()),
            )

    def _rate_locked(self, now: float) -> float:
        times = self._step_times
        if len(times) < 2 or now - times[-1] > RESTING_AFTER_S:
            return 0.0
        return (len(times) - 1) / max(times[-1] - times[0], 1e-9)


def _p95(values: Collection[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))] if values else 0.0
