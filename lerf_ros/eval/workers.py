# SPDX-License-Identifier: Apache-2.0
"""Worker processes: started afresh, one thread each, each given one job at a time.

Not `concurrent.futures`: a run that is interrupted must end its workers at once, and say which job a dead one had.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

from lerf_ros.errors import LerfError

log = logging.getLogger(__name__)
JOIN_S = 10.0


class Job(Protocol):
    """What a worker is given."""

    @property
    def scene(self) -> int:
        """Return the scene it is about."""
        ...


Maker = Callable[[Any], Callable[[Any], Iterator[tuple[int, str]]]]


class Pool:
    """Runs jobs in `size` processes.

    Args:
        maker: a module-level function that, in each worker, makes from `plan` what runs a job.
        plan: pickled to the workers.
    """

    def __init__(self, maker: Maker, plan: object, size: int) -> None:
        self._maker, self._plan, self._size = maker, plan, size

    def run(self, jobs: Sequence[Job]) -> Generator[tuple[int, str, str], None, None]:
        """Yield (scene, what, "") for each thing a job yields, and (scene, "", fault) for each job that failed.

        Workers end when the jobs do, and at once when the caller stops listening (an interrupt, say).
        """
        waiting = list(reversed(jobs))
        busy: dict[Connection, tuple[SpawnProcess, Job]] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self._size:
                    self._start(busy, waiting.pop())
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    yield from self._hear(busy, ready, waiting)
        finally:
            for process, _ in busy.values():
                process.terminate()
            for process, _ in busy.values():
                process.join(JOIN_S)

    def _start(self, busy: dict[Connection, tuple[SpawnProcess, Job]], job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._maker, self._plan), daemon=True)
        process.start()
        theirs.close()
        ours.send(job)
        busy[ours] = (process, job)

    def _hear(
        self, busy: dict[Connection, tuple[SpawnProcess, Job]], ready: Connection, waiting: list[Job]
    ) -> Iterator[tuple[int, str, str]]:
        """Take one message from a worker: a result, the end of its job, or its death."""
        process, job = busy[ready]
        try:
            kind, content = ready.recv()
        except EOFError:
            del busy[ready]
            process.join(JOIN_S)
            yield job.scene, "", f"its process ended (exit code {process.exitcode}; -9 is often lack of memory)"
            return
        if kind == "result":
            yield (*content, "")
            return
        if kind == "fault":
            yield job.scene, "", content
        if waiting:
            job = waiting.pop()
            busy[ready] = (process, job)
            ready.send(job)
        else:
            del busy[ready]
            ready.close()
            process.join(JOIN_S)


def serve(pipe: Connection, maker: Maker, plan: object) -> None:
    """Run jobs from a pipe until it closes. The parent decides about interrupts; when it dies, so does this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    import torch

    torch.set_num_threads(1)
    run = None
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            run = run or maker(plan)
            for done in run(job):
                pipe.send(("result", done))
        except (LerfError, ValueError, RuntimeError, AssertionError, OSError) as error:
            log.exception("scene %d", job.scene)
            pipe.send(("fault", f"{type(error).__name__}: {error}"))
        else:
            pipe.send(("end", None))


def _end_with_parent() -> None:
    """Wait for the parent's death, however it comes about, and end in the midst of a job: nobody would take its result.

    Files are written whole or not at all, so that nothing is left half done.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
