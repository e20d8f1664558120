# SPDX-License-Identifier: Apache-2.0
"""The two threads of the mapper: one turns arriving items into keyframes, one trains and publishes snapshots.

The trainer thread owns the map: it alone calls `add`, `step`, `publish` and runs commands, between steps. Readers get
the published snapshot, which never changes. Nothing here knows ROS.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Generic, TypeVar

from lerf_ros.config import RuntimeConfig
from lerf_ros.runtime.cpu_share import CpuShare
from lerf_ros.runtime.driven import Mapper
from lerf_ros.runtime.encoding import Encoding
from lerf_ros.runtime.failures import Failures
from lerf_ros.runtime.mailbox import CommandQueue, Mailbox
from lerf_ros.runtime.pacing import CpuBudget, QueryGate, SnapshotSchedule
from lerf_ros.runtime.publishing import Publisher
from lerf_ros.runtime.stats import LoopCounters, LoopStats

if TYPE_CHECKING:
    from lerf_ros.core.keyframes import Keyframe, PosedImage
    from lerf_ros.core.snapshot import FieldSnapshot

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class MappingLoop(Generic[T]):
    """Runs a mapper in the background.

    Args:
        mapper: owned by this loop from `start` to `stop`.
        to_posed_image: turns a submitted item into a posed image in the encoder thread; it may wait (for a transform),
            and raises InputError for what cannot be used, which is then counted under its cause.
        config: queue size, time-outs, threads, budget.
        source_of: tells which camera an item is of; a fast one then drops its own, not those of a slow one.
        first_answer: keyframes and steps from which queries are answered; the first such map is published at once.
        now_ns: the clock of the images' stamps, for latencies.
    """

    def __init__(
        self,
        mapper: Mapper,
        to_posed_image: Callable[[T], "PosedImage"],
        config: RuntimeConfig,
        *,
        source_of: Callable[[T], Hashable] = lambda item: None,
        first_answer: tuple[int, int] = (1, 1),
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._mapper = mapper
        self._config = config
        self._mailbox: Mailbox[T] = Mailbox(config.mailbox_size, source_of)
        self._commands = CommandQueue()
        self._share = CpuShare(config.threads)
        self._counters = LoopCounters()
        self._stop = threading.Event()
        self._now_ns = now_ns
        self._gate = QueryGate(config.pause_for_queries)
        self._budget = CpuBudget(config.max_cpu_fraction, config.threads)
        schedule = SnapshotSchedule(config.snapshot_period_s, first_answer)
        self._publisher = Publisher(mapper, schedule, self._counters, now_ns)
        self._threads = 0  # of the trainer now; 0: not set yet
        self._last_keyframe_step = 0
        self._paused = False
        self._suspended = False
        self._failures = Failures("trainer", self._counters)
        encoding = Encoding(
            mapper, self._mailbox, to_posed_image, self._share, self._counters,
            lambda keyframe: self._commands.submit(lambda: self._add(keyframe)),
        )  # fmt: skip
        self._encoder = threading.Thread(target=self._guard, args=("encoder", encoding.run), name="lerf-encoder")
        self._trainer = threading.Thread(target=self._guard, args=("trainer", self._train_all), name="lerf-trainer")

    def start(self) -> None:
        """Start both threads. A loop starts once."""
        cores = len(os.sched_getaffinity(0))
        if self._config.threads > cores:
            _log.warning("runtime.threads = %d, but this process may use %d cores", self._config.threads, cores)
        self._trainer.start()
        self._encoder.start()

    def stop(self) -> bool:
        """End both threads and fail pending commands; return whether both ended within the join time-out."""
        return self.join(time.monotonic() + self._config.join_timeout_s)

    def join(self, deadline: float) -> bool:
        """As `stop`, with a time-out that others share: until `deadline` (time.monotonic)."""
        self._stop.set()
        self._mailbox.close()
        self._gate.close()
        self._commands.close("the mapping loop was stopped")
        for thread in (self._encoder, self._trainer):
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        alive = [t.name for t in (self._encoder, self._trainer) if t.is_alive()]
        if alive:
            _log.error("%s still running at the end of runtime.join_timeout_s", ", ".join(alive))
        return not alive

    def submit(self, item: T) -> None:
        """Hand over one frame; never blocks. The oldest waiting one is dropped, counted, when the encoder is behind.

        Raises:
            MappingStoppedError: the loop is stopped, or its encoder thread has died.
        """
        self._counters.received()
        if self._suspended:
            self._counters.drop("inactive")
        elif self._mailbox.put(item):
            _log.debug("a waiting frame was dropped: the encoder is behind")

    def drop(self, cause: str, count: int = 1) -> None:
        """Count frames that the caller could not hand over."""
        self._counters.drop(cause, count)

    def discard(self, cause: str) -> int:
        """Throw away the frames that wait, counted under `cause`; return how many."""
        if waiting := self._mailbox.clear():
            self._counters.drop(cause, waiting)
        return waiting

    def received_in(self, seconds: float) -> None:
        """Count the time that one message took the caller, hand-over included."""
        self._counters.received_in(seconds)

    def command(self, function: Callable[[], R]) -> "Future[R]":
        """Have the trainer thread run `function` between two steps; wait on the future with a time-out.

        Raises:
            MappingStoppedError: the loop is stopped, or its trainer thread has died; so do all that return a future.
        """
        return self._commands.submit(function)

    def remake(self, change: Callable[[], R]) -> "Future[R]":
        """As `command`, of a change of the map as a whole; what it leaves is published before the future is done."""
        return self.command(lambda: self._remake(change))

    def set_training(self, enabled: bool) -> "Future[None]":
        """Have the trainer thread stop taking steps, or go on. Stopped, it still takes keyframes and runs commands."""
        return self.command(lambda: self._set_paused(not enabled))

    def suspend(self) -> "Future[None]":
        """Take no frames and no steps until `resume`, and give back what only those need.

        The map stays, and commands still run. The future is done when no step is running any more.
        """
        self._suspended = True
        self.discard("inactive")
        return self.command(self._release)

    @property
    def suspended(self) -> bool:
        """Whether it takes neither frames nor steps until `resume`."""
        return self._suspended

    def resume(self) -> "Future[None]":
        """Go on from the same map after `suspend`."""
        self._suspended = False
        return self.command(lambda: None)  # wakes the trainer

    def reconfigure(self, config: RuntimeConfig, first_answer: tuple[int, int]) -> "Future[None]":
        """Go by another configuration from now on; the future is done when the trainer does."""
        self._mailbox.resize(config.mailbox_size)
        self._gate.enable(config.pause_for_queries)
        self._share.reconfigure(config.threads)
        return self.command(lambda: self._take(config, first_answer))

    def snapshot(self) -> "FieldSnapshot | None":
        """Return the newest published snapshot; None before the first."""
        return self._publisher.newest

    def answering(self) -> AbstractContextManager[None]:
        """Return a context to answer a query in: training steps do not begin meanwhile, within bounds (`QueryGate`)."""
        return self._gate.answering()

    def stats(self) -> LoopStats:
        """Return what was done so far."""
        return self._counters.read(
            keyframes=self._mapper.keyframe_count,
            steps=self._mapper.step_count,
            mailbox_dropped=self._mailbox.dropped,
            encoder_alive=self._encoder.is_alive(),
            trainer_alive=self._trainer.is_alive(),
            training=self._training(),
        )

    def _training(self) -> str:
        if self._failures.too_many or (self._trainer.ident is not None and not self._trainer.is_alive()):
            return "stopped"
        if self._suspended:
            return "inactive"
        if self._paused:
            return "paused"
        if not self._mapper.keyframe_count:
            return "waiting"
        return "running" if self._has_work() else "resting"

    def _remake(self, change: Callable[[], R]) -> R:
        """Trainer thread, as a command."""
        done = change()
        self._threads = 0  # of a new trainer: not set yet
        self._last_keyframe_step = self._mapper.keyframe_step
        self._publisher.renew()
        return done

    def _set_paused(self, paused: bool) -> None:
        """Trainer thread, as a command."""
        self._paused = paused

    def _release(self) -> None:
        """Trainer thread, as a command."""
        if self._suspended:
            self._threads = 0
            self._mapper.release()

    def _take(self, config: RuntimeConfig, first_answer: tuple[int, int]) -> None:
        """Trainer thread, as a command."""
        self._config = config
        self._budget.reconfigure(config.max_cpu_fraction, config.threads)
        self._publisher.reconfigure(config.snapshot_period_s, first_answer)

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        """Body of both threads: one that ends for any reason but `stop` leaves a fault behind."""
        try:
            work()
        except BaseException as error:
            self._counters.fault(name, f"the {name} thread died: {type(error).__name__}: {error}")
            _log.critical("the %s thread died", name, exc_info=True)
            if name == "trainer":
                self._commands.close(f"the trainer thread died: {error}")
            self._mailbox.close()

    def _add(self, keyframe: "Keyframe") -> None:
        """Trainer thread, as a command."""
        try:
            self._mapper.add(keyframe)
        except Exception as error:
            self._counters.drop("trainer_error")
            self._failures.happened(error)
            return
        self._last_keyframe_step = self._mapper.step_count
        self._counters.added((self._now_ns() - keyframe.image.stamp_ns) / 1e9)

    def _train_all(self) -> None:
        while not self._stop.is_set():
            self._run_commands()
            if not self._has_work():
                self._share.trainer(busy=False)
                self._commands.wait()
                continue
            if (rest_s := self._budget.rest_s()) > 0:
                self._commands.wait(rest_s)
                continue
            self._gate.wait()
            self._use_threads(self._share.trainer(busy=True))
            with self._budget.charged(self._threads):
                self._train_once()

    def _run_commands(self) -> None:
        with self._budget.charged(1):
            ran = self._commands.run_pending()
        if ran and self._failures.too_many:
            self._failures.forget()  # a keyframe or command may have cured it

    def _use_threads(self, threads: int) -> None:
        if threads != self._threads:
            self._mapper.set_threads(threads)
            self._threads = threads

    def _has_work(self) -> bool:
        if self._mapper.keyframe_count == 0 or self._failures.too_many or self._paused or self._suspended:
            return False
        return self._publisher.behind or not self._rested()

    def _rested(self) -> bool:
        return self._mapper.step_count - self._last_keyframe_step >= self._config.idle_steps

    def _train_once(self) -> None:
        """Take one step, and publish when it is time (or when this was the last step before a rest)."""
        try:
            if not self._rested():
                self._counters.stepped(self._mapper.step())
                self._publisher.behind = True
            if self._rested() or self._publisher.due():
                self._publisher.publish()
            self._failures.forget()
        except Exception as error:
            self._failures.happened(error)
