# SPDX-License-Identifier: Apache-2.0
"""Taking the node down: any thread that does not end makes it a failure, and all together have one time-out."""

import threading
import time
from types import SimpleNamespace

import pytest

from lerf_ros.config import from_flat
from lerf_ros.msg import QueryResult
from lerf_ros.ros.node import LerfNode
from lerf_ros.ros.outputs.tally import QueryTally
from lerf_ros.ros.outputs.worker import OutputWorker
from lerf_ros.ros.services.lane import Lane
from lerf_ros.ros.services.query import QueryService
from lerf_ros.ros.services.workers import Workers
from lerf_ros.ros.settings import Settings
from lerf_ros.ros.site import Site, Threaded
from lerf_ros.srv import Query

JOIN_S = 0.4


class Hanging:
    """Gives jobs that begin and then hang until `go`."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.go.wait(20)


class Loop:
    """A mapping loop that notes until when it may take, and ends or does not."""

    def __init__(self, ended: bool) -> None:
        self.ended, self.deadline = ended, 0.0

    def join(self, deadline: float) -> bool:
        self.deadline = deadline
        return self.ended


def take_down(loop: Loop, worker: OutputWorker, workers: Workers) -> bool:
    config = from_flat({"runtime.join_timeout_s": JOIN_S})
    nothing = dict.fromkeys(
        ("node", "encoder", "poses", "camera_poses", "check", "ingest", "queries"), None
    )
    mapper = SimpleNamespace(close=lambda: None)
    site = Site(**nothing, settings=Settings(config), mapper=mapper, loop=loop, workers=workers)
    return LerfNode._tear_down(SimpleNamespace(_site=site, _parts=[worker]))  # type: ignore[arg-type]


@pytest.mark.parametrize("hangs", ["nothing", "loop", "lane", "output"])
def test_it_is_a_failure_when_any_thread_is_left_within_one_time_out(hangs: str) -> None:
    loop, worker, workers, job = Loop(hangs != "loop"), OutputWorker(QueryTally()), Workers(), Hanging()
    assert isinstance(worker, Threaded)
    if hangs == "lane":
        lane: Lane = workers._lanes["long"]
        lane.submit(job, str)
    if hangs == "output":
        worker.ask("slow", job)
    assert hangs not in ("lane", "output") or job.begun.wait(10)
    begin = time.monotonic()
    assert take_down(loop, worker, workers) == (hangs == "nothing")
    assert loop.deadline - begin == pytest.approx(JOIN_S, abs=0.3), "what others took is not added"
    job.go.set()
    assert workers.join(time.monotonic() + 10)
    assert worker.join(time.monotonic() + 10)


def test_a_query_that_failed_says_so_and_not_that_the_map_is_not_ready() -> None:
    request = Query.Request(prompts=["mug"])
    assert QueryService.failed(request, Query.Response(), "why").results[0].status == QueryResult.INTERNAL
    assert QueryService.refuse(request, Query.Response(), "why").results[0].status == QueryResult.NOT_READY
