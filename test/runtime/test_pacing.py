# SPDX-License-Identifier: Apache-2.0
import threading
import time

import pytest

from lerf_ros.runtime.pacing import MAX_PAUSE_S, MIN_PERIOD_S, CpuBudget, QueryGate, SnapshotSchedule


class HandClock:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def work(budget: CpuBudget, clock: HandClock, seconds: float, threads: int) -> None:
    with budget.charged(threads):
        clock.now_s += seconds


@pytest.mark.parametrize(
    ("fraction", "threads", "used", "rest_s"),
    [
        (1.0, 2, 2, 0.0),
        (0.5, 2, 2, 0.1),  # 0.1 s of both threads may be had in 0.2 s
        (0.5, 2, 1, 0.0),  # 0.1 s of one of two threads is a half already
        (0.25, 2, 1, 0.1),
        (0.1, 1, 1, 0.9),
    ],
)
def test_work_is_paid_for_by_rest(fraction: float, threads: int, used: int, rest_s: float) -> None:
    clock = HandClock()
    budget = CpuBudget(fraction, threads, clock)
    assert budget.rest_s() == 0.0
    work(budget, clock, 0.1, used)
    assert budget.rest_s() == pytest.approx(rest_s)


def test_work_that_cannot_wait_adds_to_the_debt_and_idleness_earns_no_credit() -> None:
    clock = HandClock()
    budget = CpuBudget(0.5, 1, clock)
    work(budget, clock, 1.0, 1)
    work(budget, clock, 1.0, 1)  # a command, in the middle of the rest
    assert budget.rest_s() == pytest.approx(2.0)
    clock.now_s += 1000.0
    assert budget.rest_s() == 0.0
    work(budget, clock, 1.0, 1)
    assert budget.rest_s() == pytest.approx(1.0), "a long rest before does not let it burst"


def test_work_that_raises_is_charged_too() -> None:
    clock = HandClock()
    budget = CpuBudget(0.5, 1, clock)

    def fail() -> None:
        with budget.charged(1):
            clock.now_s += 1.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert budget.rest_s() == pytest.approx(1.0)


def test_over_time_the_budget_is_met_exactly() -> None:
    clock = HandClock()
    budget = CpuBudget(0.3, 2, clock)
    begin, busy = clock.now_s, 0.0
    for step in range(1, 200):
        seconds = 0.01 * (1 + step % 7)
        work(budget, clock, seconds, 2)
        busy += 2 * seconds
        clock.now_s += budget.rest_s()
    assert busy / (2 * (clock.now_s - begin)) == pytest.approx(0.3)


def test_training_waits_until_the_query_is_answered() -> None:
    gate = QueryGate(enabled=True)
    answered = threading.Event()
    inside = threading.Event()

    def query() -> None:
        with gate.answering():
            inside.set()
            answered.wait(0.1)
            answered.set()

    asker = threading.Thread(target=query)
    asker.start()
    assert inside.wait(5)
    gate.wait()
    assert answered.is_set()
    asker.join(5)


def test_without_a_query_nothing_waits() -> None:
    begin = time.monotonic()
    gate = QueryGate(enabled=True)
    for _ in range(1000):
        gate.wait()
    assert time.monotonic() - begin < 1.0


def test_a_query_that_never_ends_holds_training_back_for_so_long_and_once() -> None:
    gate = QueryGate(enabled=True)
    with gate.answering():
        begin = time.monotonic()
        gate.wait()
        first = time.monotonic() - begin
        gate.wait()
        second = time.monotonic() - begin - first
    assert MAX_PAUSE_S * 0.9 <= first < MAX_PAUSE_S + 1.0
    assert second < MAX_PAUSE_S / 2, "nothing was earned since"


def test_a_flood_of_queries_takes_at_most_half_of_the_time() -> None:
    gate = QueryGate(enabled=True)
    step_s, lasts_s = 0.01, 1.0
    trained_s = 0.0
    with gate.answering():
        begin = time.monotonic()
        while (now := time.monotonic()) - begin < lasts_s:
            gate.wait()
            worked = time.monotonic()
            time.sleep(step_s)  # the step
            trained_s += time.monotonic() - worked
        paused_s = now - begin - trained_s
    assert trained_s >= 0.5 * (lasts_s - MAX_PAUSE_S) - 0.05
    assert paused_s >= MAX_PAUSE_S, "it does give way"


@pytest.mark.parametrize("how", ["disabled", "closed"])
def test_a_gate_that_is_open_holds_nobody(how: str) -> None:
    gate = QueryGate(enabled=how != "disabled")
    if how == "closed":
        gate.close()
    with gate.answering():
        begin = time.monotonic()
        gate.wait()
        assert time.monotonic() - begin < MAX_PAUSE_S / 2


def test_closing_wakes_the_one_who_waits() -> None:
    gate = QueryGate(enabled=True)
    with gate.answering():
        waiting = threading.Thread(target=gate.wait)
        waiting.start()
        gate.close()
        waiting.join(5)
        assert not waiting.is_alive()


def test_the_first_map_that_may_be_asked_is_published_at_once() -> None:
    clock = HandClock()
    schedule = SnapshotSchedule(3.0, (6, 100), clock)
    assert not schedule.due(5, 200)
    assert not schedule.due(6, 99)
    assert schedule.due(6, 100)
    schedule.published(6, 100, 0.05)
    assert not schedule.due(6, 101), "only the first"


def test_the_period_grows_with_the_cost_of_publishing_up_to_its_limit() -> None:
    clock = HandClock()
    schedule = SnapshotSchedule(3.0, (6, 100), clock)
    for cost_s, period_s in [(0.001, MIN_PERIOD_S), (0.1, 1.0), (0.2, 2.0), (5.0, 3.0)]:
        schedule.published(6, 100, cost_s)
        clock.now_s += period_s - 0.001
        assert not schedule.due(6, 100)
        clock.now_s += 0.002
        assert schedule.due(6, 100)


def test_a_limit_below_the_shortest_period_is_kept() -> None:
    clock = HandClock()
    schedule = SnapshotSchedule(0.1, (1, 1), clock)
    schedule.published(1, 1, 0.0)
    clock.now_s += 0.101
    assert schedule.due(1, 1)
