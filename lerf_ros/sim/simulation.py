# SPDX-License-Identifier: Apache-2.0
"""One thread that owns physics and rendering, paced to the wall clock; commands are queued and answered by futures."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Protocol

import mujoco
import numpy as np
from jaxtyping import Float64

from lerf_ros.sim import arm_model
from lerf_ros.sim.arm import Arm, Outcome, Program
from lerf_ros.sim.camera import RenderedFrame, SceneRenderer
from lerf_ros.sim.scene import Scene, build
from lerf_ros.sim.spec import SceneSpec
from lerf_ros.sim.truth import object_poses

log = logging.getLogger(__name__)

#: Longest stretch of time made up for at once; what is beyond is lost, and the simulation runs slower than the clock.
_MAX_CATCH_UP_S: Final = 0.25


@dataclass(frozen=True)
class RobotState:
    """One sample of the arm: link poses in base_link, joint angles (fingers last), and the true object poses."""

    links: dict[str, Float64[np.ndarray, "4 4"]]
    joint_names: tuple[str, ...]
    positions: Float64[np.ndarray, "8"]
    velocities: Float64[np.ndarray, "8"]


class RobotSink(Protocol):
    """Where the simulation's output goes; called from the simulation's thread."""

    def stamp(self) -> int:
        """Nanoseconds of the clock that everything is stamped with."""
        ...

    def state(self, state: RobotState, stamp_ns: int) -> None:
        """A state sample."""
        ...

    def frame(self, frame: RenderedFrame, truth: dict[str, Float64[np.ndarray, "4 4"]], stamp_ns: int) -> None:
        """A camera frame, after the state of the same stamp; `truth` holds the objects' poses in base_link."""
        ...

    def scene_frame(self, frame: RenderedFrame, stamp_ns: int) -> None:
        """A frame of the standing camera, where there is one, after the wrist's of the same stamp."""
        ...


class Simulation:
    """The simulated robot. `start` begins the thread; `close` ends it and cancels what is queued.

    With `scene_view` (`T_world_cam`, optical axes) a second camera stands there, and sees when the wrist's does.
    """

    def __init__(
        self, spec: SceneSpec, sink: RobotSink, *, camera_hz: float, state_hz: float,
        scene_view: Float64[np.ndarray, "4 4"] | None = None,
    ) -> None:  # fmt: skip
        self._spec, self._sink, self._scene_view = spec, sink, scene_view
        self._frame_s, self._state_s = 1.0 / camera_hz, 1.0 / state_hz
        self._commands: SimpleQueue[tuple[Callable[[Arm], Program], Future[Outcome]]] = SimpleQueue()
        self._running: Future[Outcome] | None = None
        self._deeds: SimpleQueue[tuple[Callable[[Scene], Outcome], Future[Outcome]]] = SimpleQueue()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self.fault = ""
        self._thread = threading.Thread(target=self._main, name="simulation", daemon=True)

    def start(self, timeout_s: float = 30.0) -> None:
        """Starts the thread and waits until the scene is up.

        Raises:
            RuntimeError: the scene could not be built or rendered; the message says why.
        """
        self._thread.start()
        if not self._ready.wait(timeout_s) or self.fault:
            raise RuntimeError(f"the simulation did not start: {self.fault or 'time-out'}")

    def submit(self, make: Callable[[Arm], Program]) -> "Future[Outcome]":
        """Queues a program; refused at once, in the future's outcome, if the arm is busy when its turn comes."""
        future: Future[Outcome] = Future()
        if self._stop.is_set():
            future.set_result(Outcome(False, "the simulation has stopped"))
        else:
            self._commands.put((make, future))
        return future

    def meddle(self, deed: Callable[[Scene], Outcome]) -> "Future[Outcome]":
        """Have something done to the scene between two steps, whatever the arm is at: a person's hand (`hands`)."""
        future: Future[Outcome] = Future()
        if self._stop.is_set():
            future.set_result(Outcome(False, "the simulation has stopped"))
        else:
            self._deeds.put((deed, future))
        return future

    def close(self, timeout_s: float = 10.0) -> bool:
        """Stops the thread; returns whether it ended in time."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            scene = build(self._spec)
            arm = Arm(scene)
            with SceneRenderer(scene) as renderer:
                self._ready.set()
                self._loop(scene, arm, renderer)
        except Exception as error:  # the thread's top: whatever it was is reported, never swallowed
            self.fault = f"{type(error).__name__}: {error}"
            if not self._stop.is_set():
                log.exception("the simulation stopped")
        finally:
            self._stop.set()
            self._ready.set()
            self._refuse_all()

    def _loop(self, scene: Scene, arm: Arm, renderer: SceneRenderer) -> None:
        zero = time.monotonic() - float(scene.data.time)
        next_state = next_frame = float(scene.data.time)
        while not self._stop.is_set():
            self._take_commands(arm)
            self._let_meddle(scene)
            behind = time.monotonic() - zero - float(scene.data.time)
            if behind > _MAX_CATCH_UP_S:
                zero += behind - _MAX_CATCH_UP_S
            until = time.monotonic() - zero
            while scene.data.time < until:
                arm.step()
                mujoco.mj_step(scene.model, scene.data)
            self._answer(arm)
            now = float(scene.data.time)
            frame_due = now >= next_frame
            if now >= next_state or frame_due:
                scene.forward()
                stamp = self._sink.stamp()
                self._sink.state(_sample(scene), stamp)
                next_state = _following(next_state, self._state_s, now)
                if frame_due:
                    frame = renderer.render(arm_model.WRIST_CAMERA, depth=True)
                    self._sink.frame(frame, object_poses(scene), stamp)
                    if self._scene_view is not None:
                        self._sink.scene_frame(renderer.render_from(self._scene_view, depth=True), stamp)
                    next_frame = _following(next_frame, self._frame_s, now)
            self._stop.wait(max(0.0, min(next_state, next_frame) + zero - time.monotonic()))

    def _take_commands(self, arm: Arm) -> None:
        while True:
            try:
                make, future = self._commands.get_nowait()
            except Empty:
                return
            if arm.busy:
                future.set_result(Outcome(False, "the arm is busy with another command"))
                continue
            try:
                arm.start(make(arm))
            except Exception as error:  # one bad command must not end the robot
                log.exception("a command failed")
                future.set_result(Outcome(False, f"the command failed: {error}"))
                continue
            self._running = future

    def _let_meddle(self, scene: Scene) -> None:
        while not self._deeds.empty():
            deed, future = self._deeds.get_nowait()
            try:
                future.set_result(deed(scene))
            except Exception as error:  # one bad deed must not end the robot
                log.exception("a change of the scene failed")
                future.set_result(Outcome(False, f"it failed: {error}"))

    def _answer(self, arm: Arm) -> None:
        if self._running is not None and not arm.busy and arm.outcome is not None:
            self._running.set_result(arm.outcome)
            self._running = None

    def _refuse_all(self) -> None:
        ended = Outcome(False, f"the simulation has stopped{': ' + self.fault if self.fault else ''}")
        if self._running is not None:
            self._running.set_result(ended)
        while not self._deeds.empty():
            self._deeds.get_nowait()[1].set_result(ended)
        while not self._commands.empty():
            self._commands.get_nowait()[1].set_result(ended)


def _following(due_s: float, period_s: float, now_s: float) -> float:
    """The next due time after now; skipped ones are not made up for."""
    due_s += period_s
    return due_s if due_s > now_s else now_s + period_s


def _sample(scene: Scene) -> RobotState:
    names = (*arm_model.JOINTS, *arm_model.FINGERS)
    links = {}
    for link in arm_model.LINKS:
        body = scene.data.body(link)
        pose = np.eye(4)
        pose[:3, :3] = np.array(body.xmat).reshape(3, 3)
        pose[:3, 3] = body.xpos
        links[link] = pose
    positions = np.array([scene.data.joint(n).qpos[0] for n in names])
    velocities = np.array([scene.data.joint(n).qvel[0] for n in names])
    return RobotState(links, names, positions, velocities)
