# SPDX-License-Identifier: Apache-2.0
"""Moves the arm: smooth joint segments, programs made of them, and what the gripper feels. Steps with the physics."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

import mujoco
import numpy as np
from jaxtyping import Float64

from lerf_ros.sim import arm_model
from lerf_ros.sim.kinematics import Joints, Kinematics
from lerf_ros.sim.scene import HOME_JOINTS_RAD, Scene

#: Peak speed of the fastest joint.
MAX_SPEED_RAD_S: Final = 1.5
MIN_SEGMENT_S: Final = 0.3
#: Peak over mean speed of the minimum-jerk profile.
_PEAK: Final = 1.875
_CLOSED_TARGET_M: Final = -0.01
#: The servos follow with a short lag; a segment ends when it is gone.
_SETTLE_S: Final = 0.12
HELD_OPENING_M: Final = 0.004
FULL_OPENING_M: Final = 2 * arm_model.FINGER_TRAVEL_M


@dataclass(frozen=True)
class Segment:
    """A smooth move to `joints_rad` (None: stay) in `duration_s` (None: as fast as allowed), fingers to `opening_m`.

    `opening_m` None leaves the fingers as they are; 0 closes them with the gripper's full force.
    """

    joints_rad: Joints | None = None
    opening_m: float | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a program ended; `held_opening_m` is the finger distance at the end."""

    success: bool
    message: str
    held_opening_m: float = 0.0


Program = Generator[Segment, None, Outcome]


def minimum_jerk(share: float) -> float:
    """Position share at a time share: starts and ends with zero speed and acceleration."""
    t = min(max(share, 0.0), 1.0)
    return t**3 * (10 - 15 * t + 6 * t**2)


class Arm:
    """Drives the servos of one scene. Call `step` before every physics step, from the thread that owns the physics."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.kinematics = Kinematics(scene)
        model = scene.model
        self._qpos = [int(model.joint(j).qposadr[0]) for j in arm_model.JOINTS]
        self._fingers = [int(model.joint(j).qposadr[0]) for j in arm_model.FINGERS]
        self._servos = [int(model.actuator(j).id) for j in arm_model.JOINTS]
        self._grip = int(model.actuator(arm_model.GRIPPER_ACTUATOR).id)
        self._program: Program | None = None
        self._segment: Segment | None = None
        self._from = self.commanded()
        self._began_s = 0.0
        self._lasts_s = 0.0
        self.outcome: Outcome | None = None

    def joints(self) -> Joints:
        """Measured joint angles."""
        return np.array(self._scene.data.qpos[self._qpos])

    def commanded(self) -> Joints:
        """Joint angles the servos are told."""
        return np.array(self._scene.data.ctrl[self._servos])

    def opening_m(self) -> float:
        """Measured distance between the fingers."""
        return float(self._scene.data.qpos[self._fingers].sum())

    @property
    def busy(self) -> bool:
        """Whether a program is running."""
        return self._program is not None

    def start(self, program: Program) -> None:
        """Starts a program.

        Raises:
            RuntimeError: another program is running.
        """
        if self.busy:
            raise RuntimeError("the arm is already moving")
        self._program, self.outcome = program, None
        self._next()

    def cancel(self, message: str) -> None:
        """Ends the running program where the arm is."""
        if self._program is not None:
            self._program.close()
            self._finish(Outcome(False, message, self.opening_m()))

    def _finish(self, outcome: Outcome) -> None:
        self._program, self._segment, self.outcome = None, None, outcome

    def _next(self) -> None:
        assert self._program is not None
        try:
            segment = next(self._program)
        except StopIteration as end:
            self._finish(end.value)
            return
        self._segment, self._from, self._began_s = segment, self.commanded(), float(self._scene.data.time)
        move = 0.0 if segment.joints_rad is None else float(np.abs(segment.joints_rad - self._from).max())
        least = 0.0 if segment.joints_rad is None else max(MIN_SEGMENT_S, _PEAK * move / MAX_SPEED_RAD_S)
        self._lasts_s = max(least, segment.duration_s or 0.0)
        if segment.opening_m is not None:
            apart = min(segment.opening_m / 2, arm_model.FINGER_TRAVEL_M)
            self._scene.data.ctrl[self._grip] = apart if apart > 0 else _CLOSED_TARGET_M

    def step(self) -> None:
        """Sets the servos for the next physics step."""
        segment = self._segment
        if segment is None:
            return
        passed = float(self._scene.data.time) - self._began_s
        if segment.joints_rad is not None:
            share = minimum_jerk(passed / self._lasts_s)
            self._scene.data.ctrl[self._servos] = self._from + share * (segment.joints_rad - self._from)
        if passed >= self._lasts_s + (_SETTLE_S if segment.joints_rad is not None else 0.0):
            self._next()

    def run(self, program: Program) -> Outcome:
        """Runs a program to its end without a clock; for tests and offline use."""
        self.start(program)
        while self.busy:
            self.step()
            mujoco.mj_step(self._scene.model, self._scene.data)
        assert self.outcome is not None
        return self.outcome


def home_program() -> Program:
    """Back to the home pose with open fingers."""
    yield Segment(joints_rad=np.array(HOME_JOINTS_RAD), opening_m=FULL_OPENING_M)
    return Outcome(True, "home")


def shifted(T_world_tcp: Float64[np.ndarray, "4 4"], along_m: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "4 4"]:
    """The pose moved by a world vector."""
    moved = T_world_tcp.copy()
    moved[:3, 3] += along_m
    return moved
