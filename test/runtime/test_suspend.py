# SPDX-License-Identifier: Apache-2.0
"""A suspended loop does nothing but answer; a reconfigured one goes by the new values."""

from dataclasses import replace

from runtime.fake_mapper import FakeMapper, posed_image
from runtime.test_mapping_loop import FAST, running, wait_until

from lerf_ros.config import RuntimeConfig
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.runtime.cpu_share import CpuShare
from lerf_ros.runtime.mailbox import Mailbox
from lerf_ros.runtime.pacing import CpuBudget, QueryGate, SnapshotSchedule

ENDLESS = RuntimeConfig(snapshot_period_s=0.1, idle_steps=10_000_000, join_timeout_s=5.0)


def test_a_suspended_loop_takes_no_steps_and_no_frames_and_still_runs_commands() -> None:
    mapper = FakeMapper()
    with running(mapper, config=ENDLESS) as loop:
        loop.submit(2)
        wait_until(lambda: loop.snapshot() is not None, "a snapshot")
        loop.suspend().result(5)
        steps = mapper.step_count
        assert mapper.released_at == [steps], "by the trainer, after its last step"
        assert loop.stats().training == "inactive"
        loop.submit(4)
        assert loop.command(lambda: mapper.step_count).result(5) == steps
        assert loop.stats().dropped == {"inactive": 1}
        assert mapper.keyframes == [2]
        assert loop.snapshot() is not None
        loop.resume().result(5)
        wait_until(lambda: mapper.step_count > steps, "steps on the same map")
        loop.submit(6)
        wait_until(lambda: mapper.keyframes == [2, 6], "frames again")
        assert mapper.owners == {"lerf-trainer"}


def test_the_trainers_threads_are_set_anew_after_they_were_given_back() -> None:
    mapper = FakeMapper()
    with running(mapper, config=replace(ENDLESS, threads=1)) as loop:
        loop.submit(2)
        wait_until(lambda: mapper.threads == [1], "set once")
        loop.suspend().result(5)
        loop.resume().result(5)
        wait_until(lambda: mapper.threads == [1, 1], "set again")


def test_what_waits_when_the_loop_is_suspended_is_counted() -> None:
    def slow(stamp: int) -> PosedImage:
        assert mapper.step_gate.wait(20)
        return posed_image(stamp)

    mapper = FakeMapper()
    mapper.step_gate.clear()
    with running(mapper, slow) as loop:
        loop.submit(2)
        wait_until(lambda: not len(loop._mailbox), "one in work")
        loop.submit(4)
        loop.submit(6)
        done = loop.suspend()
        assert loop.stats().dropped == {"inactive": 2}
        mapper.step_gate.set()
        done.result(5)
        wait_until(lambda: mapper.keyframes == [2], "the one in work is kept")


def test_a_pause_on_request_outlasts_a_suspension() -> None:
    mapper = FakeMapper()
    with running(mapper, config=ENDLESS) as loop:
        loop.submit(2)
        wait_until(lambda: mapper.step_count > 0, "training")
        loop.set_training(False).result(5)
        loop.suspend().result(5)
        loop.resume().result(5)
        steps = mapper.step_count
        assert loop.stats().training == "paused"
        loop.set_training(True).result(5)
        wait_until(lambda: mapper.step_count > steps, "training again")


def test_more_idle_steps_wake_a_resting_trainer() -> None:
    mapper = FakeMapper()
    with running(mapper) as loop:
        loop.submit(2)
        wait_until(lambda: loop.stats().training == "resting", "rest")
        assert mapper.step_count == 50
        loop.reconfigure(replace(FAST, idle_steps=70), (1, 1)).result(5)
        wait_until(lambda: mapper.step_count == 70, "twenty steps more")


def test_a_smaller_mailbox_drops_the_oldest_at_once() -> None:
    box: Mailbox[int] = Mailbox(4)
    for n in range(4):
        box.put(n)
    box.resize(2)
    assert (len(box), box.dropped) == (2, 2)
    assert box.get() == 2
    box.resize(3)
    assert [box.put(n) for n in (4, 5, 6)] == [0, 0, 1]
    assert box.clear() == 3
    assert (len(box), box.dropped) == (0, 3)


def test_pacing_goes_by_new_values() -> None:
    now = [0.0]
    budget = CpuBudget(0.5, 2, clock=lambda: now[0])
    with budget.charged(2):
        now[0] = 10.0
    assert budget.rest_s() == 10.0, "2 threads x 10 s at 1 thread's worth"
    budget.reconfigure(0.25, 2)
    assert budget.rest_s() == 0.0
    with budget.charged(2):
        now[0] = 11.0
    assert budget.rest_s() == 3.0, "2 threads x 1 s at half a thread's worth"

    schedule = SnapshotSchedule(100.0, (1, 1), clock=lambda: now[0])
    schedule.published(1, 1, cost_s=5.0)
    now[0] += 20.0
    assert not schedule.due(1, 1), "a tenth of training's time: every 50 s"
    schedule.reconfigure(10.0, (1, 1))
    assert schedule.due(1, 1)

    share = CpuShare(2)
    share.reconfigure(6)
    assert share.trainer(busy=True) == 6
    assert share.encoder(busy=True) == 3


def test_a_gate_that_is_switched_off_holds_nobody_back() -> None:
    gate = QueryGate(True)
    gate.enable(False)
    with gate.answering():
        gate.wait()
    assert gate._earned_s > 0


def test_training_that_is_wanted_while_suspended_is_told_to_wait_and_then_goes_on() -> None:
    mapper = FakeMapper()
    with running(mapper, config=ENDLESS) as loop:
        loop.submit(2)
        wait_until(lambda: mapper.step_count > 0, "training")
        loop.set_training(False).result(5)
        assert not loop.suspended
        loop.suspend().result(5)
        loop.set_training(True).result(5)
        assert loop.suspended
        assert loop.stats().training == "inactive"
        steps = mapper.step_count
        loop.resume().result(5)
        wait_until(lambda: mapper.step_count > steps, "training again")
