# SPDX-License-Identifier: Apache-2.0
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from runtime.fake_mapper import FakeMapper, posed_image

from lerf_ros.config import RuntimeConfig
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.errors import MappingStoppedError, PoseError
from lerf_ros.runtime.mapping_loop import MappingLoop

FAST = RuntimeConfig(snapshot_period_s=0.1, idle_steps=50, join_timeout_s=5.0)


def to_posed_image(stamp_ns: int) -> PosedImage:
    if stamp_ns < 0:
        raise PoseError("tf_unavailable", "no transform")
    return posed_image(stamp_ns)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.002)


@contextmanager
def running(
    mapper: FakeMapper, convert: Callable[[int], PosedImage] = to_posed_image, config: RuntimeConfig = FAST
) -> Iterator[MappingLoop[int]]:
    loop = MappingLoop(mapper, convert, config)
    loop.start()
    try:
        yield loop
    finally:
        mapper.step_gate.set()
        assert loop.stop()


def test_frames_become_keyframes_are_trained_and_published() -> None:
    mapper = FakeMapper()
    with running(mapper) as loop:
        assert loop.snapshot() is None
        for stamp in (2, 3, 4):
            loop.submit(stamp)
            wait_until(lambda n=stamp: loop.stats().received == n - 1 and not len(loop._mailbox), "frame taken")  # type: ignore[misc]
        wait_until(lambda: (s := loop.snapshot()) is not None and s.step >= 50, "rest after idle_steps")
        stats = loop.stats()
    assert mapper.keyframes == [2, 4]
    assert (stats.received, stats.not_moved, stats.keyframes) == (3, 1, 2)
    assert stats.dropped == {}
    assert stats.report is not None
    assert stats.fault == ""
    assert stats.encoder_alive
    assert stats.trainer_alive
    assert mapper.owners == {"lerf-trainer"}, "only the trainer thread touches the map"


def test_training_rests_after_idle_steps_and_the_last_step_is_published() -> None:
    mapper = FakeMapper()
    with running(mapper, config=RuntimeConfig(snapshot_period_s=3600.0, idle_steps=20)) as loop:
        loop.submit(2)
        wait_until(lambda: loop.snapshot() is not None, "snapshot at rest")
        assert mapper.step_count == 20
        assert loop.snapshot().step == 20  # type: ignore[union-attr]
        loop.submit(4)
        wait_until(lambda: mapper.step_count == 40 and loop.stats().snapshot_step == 40, "a keyframe wakes it")


def test_a_frame_that_cannot_be_used_is_counted_by_cause() -> None:
    mapper = FakeMapper()
    with running(mapper) as loop:
        for _ in range(3):
            loop.submit(-1)
            wait_until(lambda: not len(loop._mailbox), "taken")
        loop.submit(2)
        wait_until(lambda: mapper.keyframes == [2], "a good frame afterwards")
        assert loop.stats().dropped == {"tf_unavailable": 3}
        assert loop.stats().fault == ""


def test_a_raising_encoder_is_counted_reported_and_recovers() -> None:
    mapper = FakeMapper(fail_prepare=RuntimeError("encoder on fire"))
    with running(mapper) as loop:
        for n in range(1, 6):
            loop.submit(2)
            wait_until(lambda n=n: loop.stats().dropped.get("encoder_error") == n, "counted")  # type: ignore[misc]
            assert ("encoder on fire" in loop.stats().fault) == (n >= 5)
        assert loop.stats().encoder_alive
        mapper.fail_prepare = None
        loop.submit(4)
        wait_until(lambda: mapper.keyframes == [4], "goes on")
        assert loop.stats().fault == ""


def test_a_raising_converter_is_counted_and_the_loop_goes_on() -> None:
    def convert(stamp: int) -> PosedImage:
        if stamp == 6:
            raise ZeroDivisionError("bug")
        return posed_image(stamp)

    mapper = FakeMapper()
    with running(mapper, convert) as loop:
        loop.submit(6)
        wait_until(lambda: loop.stats().dropped == {"encoder_error": 1}, "counted")
        loop.submit(8)
        wait_until(lambda: mapper.keyframes == [8], "goes on")


@pytest.mark.parametrize("where", ["fail_step", "fail_publish"])
def test_a_raising_trainer_reports_a_fault_pauses_and_recovers(where: str) -> None:
    mapper = FakeMapper(**{where: RuntimeError("loss is NaN")})  # type: ignore[arg-type]
    with running(mapper) as loop:
        loop.submit(2)
        wait_until(lambda: "5 times in a row, last: loss is NaN" in loop.stats().fault, "fault")
        assert loop.stats().trainer_alive
        assert loop.command(lambda: 7).result(5) == 7, "commands still run"
        setattr(mapper, where, None)
        loop.submit(4)
        wait_until(lambda: loop.snapshot() is not None, "goes on")
        assert loop.stats().fault == ""


def test_a_dead_trainer_thread_is_reported_and_fails_commands() -> None:
    mapper = FakeMapper(fail_step=SystemExit("library called exit"))
    with running(mapper) as loop:
        loop.submit(2)
        wait_until(lambda: not loop.stats().trainer_alive, "dead")
        assert "trainer thread died: SystemExit: library called exit" in loop.stats().fault
        with pytest.raises(MappingStoppedError, match="library called exit"):
            loop.command(lambda: 1)
        with pytest.raises(MappingStoppedError):
            loop.submit(4)


def test_a_dead_encoder_thread_is_reported_and_training_goes_on() -> None:
    mapper = FakeMapper()
    with running(mapper, config=RuntimeConfig(idle_steps=1_000_000)) as loop:
        loop.submit(2)
        wait_until(lambda: mapper.step_count > 0, "training")
        mapper.fail_prepare = SystemExit("out")
        loop.submit(4)
        wait_until(lambda: not loop.stats().encoder_alive, "dead")
        assert "encoder thread died" in loop.stats().fault
        before = mapper.step_count
        wait_until(lambda: mapper.step_count > before, "still training")
        assert loop.stats().trainer_alive
        with pytest.raises(MappingStoppedError):
            loop.submit(6)


def test_commands_run_in_the_trainer_thread_between_steps() -> None:
    mapper = FakeMapper()
    with running(mapper, config=RuntimeConfig(idle_steps=1_000_000)) as loop:
        assert loop.command(lambda: threading.current_thread().name).result(5) == "lerf-trainer"
        loop.submit(2)
        wait_until(lambda: mapper.step_count > 0, "training")
        steps = loop.command(lambda: (mapper.step_count, mapper.step_count)).result(5)
        assert steps[0] == steps[1]
        with pytest.raises(KeyError):
            loop.command(lambda: {}["absent"]).result(5)


def test_a_waiting_frame_is_dropped_and_counted_while_the_encoder_is_busy() -> None:
    busy, release = threading.Event(), threading.Event()

    def convert(stamp: int) -> PosedImage:
        busy.set()
        assert release.wait(10)
        return posed_image(stamp)

    mapper = FakeMapper()
    with running(mapper, convert, RuntimeConfig(mailbox_size=2, idle_steps=1)) as loop:
        loop.submit(0)
        assert busy.wait(5)
        for stamp in (2, 4, 6, 8):
            loop.submit(stamp)
        assert loop.stats().mailbox_dropped == 2
        release.set()
        wait_until(lambda: mapper.keyframes == [0, 6, 8], "the newest two are kept")


def test_stop_fails_pending_commands_and_refuses_more() -> None:
    mapper = FakeMapper()
    mapper.step_gate.clear()
    loop = MappingLoop(mapper, to_posed_image, FAST)
    loop.start()
    loop.submit(2)
    wait_until(lambda: mapper.keyframe_count == 1, "in a step")
    pending = loop.command(lambda: 1)
    stopper = threading.Thread(target=loop.stop)
    stopper.start()
    with pytest.raises(MappingStoppedError, match="stopped"):
        pending.result(5)
    mapper.step_gate.set()
    stopper.join(5)
    assert not stopper.is_alive()
    with pytest.raises(MappingStoppedError):
        loop.submit(2)
    with pytest.raises(MappingStoppedError):
        loop.command(lambda: 1)
    assert loop.stop(), "stopping twice is harmless"


def test_stop_says_when_a_thread_will_not_end() -> None:
    mapper = FakeMapper()
    mapper.step_gate.clear()
    loop = MappingLoop(mapper, to_posed_image, RuntimeConfig(join_timeout_s=0.1))
    loop.start()
    loop.submit(2)
    wait_until(lambda: mapper.keyframe_count == 1, "in a step")
    begin = time.monotonic()
    assert not loop.stop()
    assert time.monotonic() - begin < 2.0
    mapper.step_gate.set()
    assert loop.stop()


def test_stop_before_start_is_harmless() -> None:
    assert MappingLoop(FakeMapper(), to_posed_image, FAST).stop()


def test_trainer_gets_all_threads_when_the_encoder_is_idle() -> None:
    mapper = FakeMapper()
    with running(mapper, config=RuntimeConfig(threads=2, idle_steps=1_000_000)) as loop:
        loop.submit(2)
        wait_until(lambda: mapper.step_count > 10, "training")
    assert mapper.threads[-1] == 2
    assert set(mapper.threads) <= {1, 2}


def test_paused_training_takes_keyframes_and_commands_and_goes_on() -> None:
    mapper = FakeMapper()
    with running(mapper, config=RuntimeConfig(idle_steps=1_000_000)) as loop:
        assert loop.stats().training == "waiting"
        loop.submit(2)
        wait_until(lambda: mapper.step_count > 0 and loop.snapshot() is not None, "training")
        assert loop.stats().training == "running"
        loop.set_training(False).result(5)
        steps = mapper.step_count
        assert loop.stats().training == "paused"
        snapshot = loop.snapshot()
        loop.submit(4)
        wait_until(lambda: mapper.keyframes == [2, 4], "a keyframe meanwhile")
        assert loop.command(lambda: 7).result(5) == 7
        assert mapper.step_count == steps, "no step since"
        assert loop.snapshot() is snapshot, "the last snapshot stays"
        loop.set_training(False).result(5)
        loop.set_training(True).result(5)
        wait_until(lambda: mapper.step_count > steps, "goes on")
        assert loop.stats().training == "running"


def test_a_loop_that_is_stopped_while_paused_ends() -> None:
    mapper = FakeMapper()
    with running(mapper) as loop:
        loop.submit(2)
        loop.set_training(False).result(5)
    with pytest.raises(MappingStoppedError):
        loop.set_training(True)


def test_resting_and_stopped_training_say_so() -> None:
    mapper = FakeMapper()
    with running(mapper) as loop:
        loop.submit(2)
        wait_until(lambda: loop.stats().training == "resting", "idle steps")
        mapper.fail_step = RuntimeError("no")
        loop.submit(4)
        wait_until(lambda: loop.stats().training == "stopped", "fault")


def test_no_step_begins_while_a_query_is_answered() -> None:
    mapper = FakeMapper()
    with running(mapper, config=RuntimeConfig(idle_steps=1_000_000)) as loop:
        loop.submit(2)
        wait_until(lambda: mapper.step_count > 0, "training")
        with loop.answering():
            time.sleep(0.02)  # the step that runs may end
            steps = mapper.step_count
            time.sleep(0.1)
            assert mapper.step_count <= steps + 1
        wait_until(lambda: mapper.step_count > steps + 1, "goes on")


def test_training_stays_within_its_share_of_the_cpu() -> None:
    """Steps that keep one core busy; the whole process is measured."""

    class Busy(FakeMapper):
        def step(self) -> object:
            end = time.thread_time() + 0.01
            while time.thread_time() < end:
                pass
            return super().step()

    fraction = 0.25
    mapper = Busy()
    config = RuntimeConfig(idle_steps=1_000_000, max_cpu_fraction=fraction, threads=1)
    with running(mapper, config=config) as loop:
        loop.submit(2)
        wait_until(lambda: mapper.step_count > 0, "training")
        begin, cpu = time.monotonic(), time.process_time()
        time.sleep(2.0)
        used = (time.process_time() - cpu) / (time.monotonic() - begin)
        asked = time.monotonic()
        assert loop.command(lambda: 7).result(5) == 7
        assert time.monotonic() - asked < 1.0, "a rest is interrupted by a command"
    assert used <= 1.2 * fraction
    assert mapper.step_count > 5


def test_latencies_are_told_from_the_stamps() -> None:
    now_ns = 10_000_000_000
    mapper = FakeMapper()
    loop = MappingLoop(mapper, to_posed_image, FAST, now_ns=lambda: now_ns)
    loop.start()
    try:
        assert loop.stats().map_latency_s == 0.0
        loop.submit(8_500_000_000)
        wait_until(lambda: loop.stats().map_latency_s > 0, "a snapshot")
        assert loop.stats().keyframe_latency_s == 1.5
        assert loop.stats().map_latency_s == 1.5
        now_ns = 20_000_000_000
        loop.submit(8_400_000_000)
        wait_until(lambda: loop.stats().keyframe_latency_s == 11.6, "a late frame")
        wait_until(lambda: loop.stats().snapshot_step == mapper.step_count == 100, "published")
        assert loop.stats().map_latency_s == 1.5, "the newest keyframe is still the first"
    finally:
        assert loop.stop()


def test_skipped_steps_are_told() -> None:
    mapper = FakeMapper(skipped=3)
    with running(mapper) as loop:
        assert loop.stats().steps_skipped == 0
        loop.submit(2)
        wait_until(lambda: loop.stats().steps_skipped == 3, "a report")


def test_the_time_of_callbacks_is_told_by_its_95th_percentile() -> None:
    loop = MappingLoop(FakeMapper(), to_posed_image, FAST)
    assert loop.stats().callback_p95_s == 0.0
    for milliseconds in range(1, 102):
        loop.received_in(milliseconds / 1000)
    assert loop.stats().callback_p95_s == 0.096
    loop.stop()


def test_the_first_map_that_may_be_asked_is_published_at_once() -> None:
    mapper = FakeMapper()
    config = RuntimeConfig(snapshot_period_s=3600.0, idle_steps=1_000_000)
    loop = MappingLoop(mapper, to_posed_image, config, first_answer=(2, 1))
    loop.start()
    try:
        mapper.fail_step = None
        mapper.step_gate.clear()
        loop.submit(2)
        loop.submit(4)
        wait_until(lambda: mapper.keyframes[:1] == [2], "first keyframe")
        mapper.step_gate.set()
        wait_until(lambda: loop.snapshot() is not None, "a snapshot")
        wait_until(lambda: (s := loop.snapshot()) is not None and len(s.keyframes) == 2, "both keyframes")  # type: ignore[arg-type]
    finally:
        assert loop.stop()


@pytest.mark.parametrize(("threads", "warns"), [(1, False), (255, True)])
def test_more_threads_than_cores_are_worth_one_warning(
    caplog: pytest.LogCaptureFixture, threads: int, warns: bool
) -> None:
    with running(FakeMapper(), config=RuntimeConfig(threads=threads)):
        pass
    said = [r for r in caplog.records if "runtime.threads" in r.message]
    assert len(said) == int(warns)
    if warns:
        assert str(len(os.sched_getaffinity(0))) in said[0].message
