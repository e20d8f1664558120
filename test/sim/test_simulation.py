# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from lerf_ros.sim.arm import Arm, Outcome, Program, Segment, home_program
from lerf_ros.sim.camera import RenderedFrame
from lerf_ros.sim.simulation import RobotState, Simulation
from lerf_ros.sim.spec import sample_spec


class Recorder:
    """A sink that counts ticks as stamps and remembers the order of what came."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.frames: list[RenderedFrame] = []
        self.states: list[RobotState] = []
        self.truth: dict[str, np.ndarray] = {}
        self.enough = threading.Event()
        self._tick = 0

    def stamp(self) -> int:
        self._tick += 1
        return self._tick

    def state(self, state: RobotState, stamp_ns: int) -> None:
        self.events.append(("state", stamp_ns))
        self.states.append(state)

    def frame(self, frame: RenderedFrame, truth: dict[str, np.ndarray], stamp_ns: int) -> None:
        self.events.append(("frame", stamp_ns))
        self.frames.append(frame)
        self.truth = truth
        if len(self.frames) >= 3:
            self.enough.set()


@pytest.fixture
def robot() -> Iterator[tuple[Simulation, Recorder]]:
    sink = Recorder()
    simulation = Simulation(sample_spec(1, n_objects=3), sink, camera_hz=10.0, state_hz=60.0)
    simulation.start()
    yield simulation, sink
    assert simulation.close()


def test_every_frame_follows_the_state_of_its_own_stamp(robot: tuple[Simulation, Recorder]) -> None:
    _, sink = robot
    assert sink.enough.wait(20)
    events = list(sink.events)
    for k, (kind, stamp) in enumerate(events):
        if kind == "frame":
            assert events[k - 1] == ("state", stamp)
    assert sink.frames[0].depth_m is not None
    assert set(sink.truth) == {o.name for o in sample_spec(1, n_objects=3).objects}
    assert sink.states[0].positions.shape == (8,)


def test_commands_are_answered_when_done_and_refused_while_busy(robot: tuple[Simulation, Recorder]) -> None:
    simulation, _ = robot
    go = threading.Event()

    def waiting(_: Arm) -> Program:
        while not go.is_set():
            yield Segment(duration_s=0.01)
        return Outcome(True, "waited")

    first = simulation.submit(waiting)
    second = simulation.submit(lambda _: home_program())
    assert second.result(20) == Outcome(False, "the arm is busy with another command")
    assert not first.done()
    go.set()
    assert first.result(20) == Outcome(True, "waited")
    assert simulation.submit(lambda _: home_program()).result(20).success


def test_a_command_that_raises_is_answered_and_the_robot_lives_on(robot: tuple[Simulation, Recorder]) -> None:
    simulation, _ = robot

    def broken(_: Arm) -> Program:
        raise ValueError("no such pose")

    assert "no such pose" in simulation.submit(broken).result(20).message
    assert simulation.submit(lambda _: home_program()).result(20).success


def test_closing_answers_what_is_still_running() -> None:
    def endless(_: Arm) -> Program:
        while True:
            yield Segment(duration_s=0.01)

    simulation = Simulation(sample_spec(1, n_objects=1), Recorder(), camera_hz=5.0, state_hz=50.0)
    simulation.start()
    future = simulation.submit(endless)
    assert simulation.close()
    assert future.result(5) == Outcome(False, "the simulation has stopped")
    assert not simulation.submit(endless).result(5).success


def test_a_simulation_that_cannot_start_says_why() -> None:
    sink = Recorder()
    spec = sample_spec(1, n_objects=1)
    broken = type(spec)(spec.seed, "no such table", spec.floor, spec.objects)
    with pytest.raises(RuntimeError, match="no such table"):
        Simulation(broken, sink, camera_hz=5.0, state_hz=50.0).start()


def test_the_simulator_never_imports_torch() -> None:
    program = (
        "import pkgutil, importlib, sys, lerf_ros.sim as s\n"
        "for m in pkgutil.iter_modules(s.__path__): importlib.import_module(f'lerf_ros.sim.{m.name}')\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=120).returncode == 0
