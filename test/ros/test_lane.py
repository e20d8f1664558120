# SPDX-License-Identifier: Apache-2.0
"""A lane of jobs: order, limit, errors, and an end that is bounded whatever a job does."""

import threading
import time

from lerf_ros.ros.services.lane import Lane

PATIENCE_S = 10


def test_jobs_are_done_in_order_and_answered() -> None:
    lane, done = Lane("test", 8), []
    answers = [lane.submit(lambda k=k: done.append(k) or k, str) for k in range(5)]
    assert [a.result(PATIENCE_S) for a in answers] == [0, 1, 2, 3, 4]
    assert done == [0, 1, 2, 3, 4]
    lane.close()
    assert lane.join(time.monotonic() + PATIENCE_S)


def test_of_200_at_once_those_beyond_the_limit_are_told_so_at_once() -> None:
    lane, begun, go = Lane("test", 8), threading.Event(), threading.Event()

    def first() -> str:
        begun.set()
        go.wait(PATIENCE_S)
        return "first"

    running = lane.submit(first, str)
    assert begun.wait(PATIENCE_S)
    answers = [lane.submit(lambda: "done", lambda reason: reason) for _ in range(200)]
    assert sum(a.done() for a in answers) == 192
    assert all("busy" in a.result(0) for a in answers[8:])
    go.set()
    assert running.result(PATIENCE_S) == "first"
    assert [a.result(PATIENCE_S) for a in answers[:8]] == ["done"] * 8
    lane.close()


def test_a_job_that_fails_is_answered_with_its_error_and_the_next_one_is_done() -> None:
    lane = Lane("test", 8)
    failed = lane.submit(lambda: 1 / 0, lambda reason: f"refused: {reason}")
    assert "ZeroDivisionError" in failed.result(PATIENCE_S)
    failed = lane.submit(lambda: 1 / 0, lambda reason: "refused", lambda reason: f"failed: {reason}")
    assert failed.result(PATIENCE_S).startswith("failed: ZeroDivisionError")
    assert lane.submit(lambda: 2, str).result(PATIENCE_S) == 2
    lane.close()


def test_the_end_is_bounded_and_refuses_what_waits_and_what_comes() -> None:
    lane, begun, forever = Lane("test", 8), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        forever.wait()

    lane.submit(hang, str)
    assert begun.wait(PATIENCE_S)
    waiting = lane.submit(lambda: 1, lambda reason: reason)
    lane.close()
    assert "taken down" in waiting.result(0)
    assert "taken down" in lane.submit(lambda: 1, lambda reason: reason).result(0)
    begin = time.monotonic()
    assert not lane.join(begin + 0.2)
    assert time.monotonic() - begin < 5
    forever.set()
    assert lane.join(time.monotonic() + PATIENCE_S)
