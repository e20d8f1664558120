# SPDX-License-Identifier: Apache-2.0
import threading
import time

import pytest
from rclpy.exceptions import InvalidHandle

from lerf_ros.msg import QueryResult
from lerf_ros.ros.outputs.tally import QueryTally
from lerf_ros.ros.outputs.worker import OutputWorker
from lerf_ros.srv import Query


def test_of_jobs_that_wait_only_the_newest_of_a_name_runs() -> None:
    worker, ran, started, go = OutputWorker(QueryTally()), [], threading.Event(), threading.Event()

    def first() -> None:
        started.set()
        go.wait(5)

    done = threading.Event()
    worker.ask("slow", first)
    assert started.wait(5)
    for n in range(5):
        worker.ask("cloud", lambda n=n: ran.append(f"cloud {n}"))
    worker.ask("image", lambda: ran.append("image"))
    worker.ask("cloud", lambda: ran.append("cloud 5"))
    worker.ask("last", done.set)
    go.set()
    assert done.wait(5)
    assert ran == ["cloud 5", "image"]
    worker.close()


@pytest.mark.parametrize("error", [ValueError("bug"), InvalidHandle("gone")])
def test_a_job_that_fails_ends_nothing(error: Exception) -> None:
    worker, done = OutputWorker(QueryTally()), threading.Event()

    def fail() -> None:
        raise error

    worker.ask("bad", fail)
    worker.ask("good", done.set)
    assert done.wait(5)
    worker.close()


def test_it_rests_as_long_as_it_worked() -> None:
    worker, begins, done = OutputWorker(QueryTally()), [], threading.Event()

    def work() -> None:
        begins.append(time.monotonic())
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    worker.ask("a", work)
    worker.ask("b", work)
    worker.ask("c", done.set)
    assert done.wait(10)
    assert begins[1] - begins[0] >= 0.19
    worker.close()


def test_closing_drops_what_waits_and_ends_the_thread() -> None:
    worker, started, go, ran = OutputWorker(QueryTally()), threading.Event(), threading.Event(), []
    worker.ask("slow", lambda: started.set() or go.wait(5))
    assert started.wait(5)
    worker.ask("never", lambda: ran.append(1))
    worker.close()
    assert not worker.join(time.monotonic() + 0.1), "it is not ended while it works"
    go.set()
    assert worker.join(time.monotonic() + 5)
    assert not ran


def test_no_job_begins_while_a_query_is_answered() -> None:
    tally, ran = QueryTally(), threading.Event()
    worker = OutputWorker(tally)
    with tally.answering():
        worker.ask("cloud", ran.set)
        assert not ran.wait(0.1)
    assert ran.wait(0.3)
    ran.clear()
    with tally.answering():  # one that takes for ever
        worker.ask("cloud", ran.set)
        assert ran.wait(5)
    worker.close()


def answered(*statuses: int, message: str = "") -> Query.Response:
    results = [QueryResult(prompt=f"p{k}", status=s, message=f"m{k}") for k, s in enumerate(statuses)]
    return Query.Response(results=results, message=message)


def test_queries_are_counted_with_their_times_and_refusals() -> None:
    tally = QueryTally()
    assert (tally.read().count, tally.read().p95_s, tally.last_phrase) == (0, 0.0, "")
    for k in range(1, 101):
        tally.answered(k / 1000, answered(QueryResult.FOUND))
    read = tally.read()
    assert (read.count, read.refused, read.failed, read.refusal, read.failure) == (100, 0, 0, "", "")
    assert read.p50_s == pytest.approx(0.050)
    assert read.p95_s == pytest.approx(0.095)
    tally.answered(0.01, answered(QueryResult.BAD_REQUEST, QueryResult.FOUND))
    assert (tally.read().refused, tally.read().refusal, tally.last_phrase) == (1, "m0", "p1")
    tally.answered(0.01, answered(message="no prompts"))
    assert (tally.read().refused, tally.read().refusal) == (2, "no prompts")
    tally.answered(0.01, answered(QueryResult.INTERNAL, message="m0"))
    assert (tally.read().refused, tally.read().failed, tally.read().failure) == (2, 1, "m0")
    assert tally.last_phrase == "p1"
