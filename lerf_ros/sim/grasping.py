# SPDX-License-Identifier: Apache-2.0
"""The grasp as a program: above, approach along the target's z axis, close, lift, hold; back off if nothing is held."""

from typing import Final

import numpy as np
from jaxtyping import Float64

from lerf_ros.sim.arm import FULL_OPENING_M, HELD_OPENING_M, Arm, Outcome, Program, Segment, shifted
from lerf_ros.sim.kinematics import Joints
from lerf_ros.sim.scene import HOME_JOINTS_RAD

DEFAULT_APPROACH_M: Final = 0.11
_STRAIGHT_POINTS: Final = 4
_CLOSE_S: Final = 0.8
_UP: Final = np.array([0.0, 0.0, 1.0])


def flipped(T_world_tcp: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """The same grasp with the two fingers exchanged."""
    return T_world_tcp @ np.diag([-1.0, -1.0, 1.0, 1.0])


def _straight(
    arm: Arm, start: Float64[np.ndarray, "4 4"], along_m: Float64[np.ndarray, "3"], near: Joints
) -> list[Joints] | None:
    """Joint angles along a straight line of the tcp; None if a part of it is out of reach or makes a joint jump."""
    path: list[Joints] = []
    for share in np.linspace(0, 1, _STRAIGHT_POINTS):
        joints = arm.kinematics.solve(shifted(start, share * along_m), path[-1] if path else near)
        if joints is None or (path and float(np.abs(joints - path[-1]).max()) > 0.8):
            return None
        path.append(joints)
    return path


def _plan(
    arm: Arm, T_world_tcp: Float64[np.ndarray, "4 4"], approach_m: float, lift_m: float
) -> tuple[list[Joints], list[Joints]] | None:
    """Way in (from the pre-grasp pose to the grasp) and way up; tries both finger orders, the smaller move first."""
    now = arm.joints()
    plans = []
    for goal in (T_world_tcp, flipped(T_world_tcp)):
        before = shifted(goal, -approach_m * goal[:3, 2])
        inwards = _straight(arm, before, approach_m * goal[:3, 2], now)
        upwards = _straight(arm, goal, lift_m * _UP, inwards[-1]) if inwards else None
        if inwards and upwards:
            plans.append((inwards, upwards))
    return min(plans, key=lambda p: float(np.abs(p[0][0] - now).max())) if plans else None


def grasp_program(
    arm: Arm,
    T_world_tcp: Float64[np.ndarray, "4 4"],
    opening_m: float = FULL_OPENING_M,
    *,
    approach_m: float = DEFAULT_APPROACH_M,
    lift_m: float = 0.12,
    hold_s: float = 1.0,
) -> Program:
    """Takes what lies between the fingers at `T_world_tcp` (z = approach, y = closing axis) and lifts it along world z.

    The fingers come `approach_m` along the approach axis, `opening_m` apart. The outcome is a success if the closed
    fingers stay more than 4 mm apart through lift and hold.
    """
    plan = _plan(arm, T_world_tcp, approach_m, lift_m)
    if plan is None:
        return Outcome(False, "the grasp, its approach or its lift is out of the arm's reach", arm.opening_m())
    inwards, upwards = plan
    opening = float(np.clip(opening_m, HELD_OPENING_M, FULL_OPENING_M))
    yield Segment(inwards[0], opening)
    for joints in inwards[1:]:
        yield Segment(joints)
    yield Segment(opening_m=0.0, duration_s=_CLOSE_S)
    if arm.opening_m() < HELD_OPENING_M:
        closed = arm.opening_m()
        yield Segment(opening_m=opening, duration_s=0.3)
        yield Segment(inwards[0])
        yield Segment(np.array(HOME_JOINTS_RAD))
        return Outcome(False, "the fingers closed on nothing", closed)
    for joints in upwards[1:]:
        yield Segment(joints)
    yield Segment(duration_s=hold_s)
    held = arm.opening_m()
    if held < HELD_OPENING_M:
        yield Segment(np.array(HOME_JOINTS_RAD), FULL_OPENING_M)
        return Outcome(False, "what was taken slipped out of the fingers", held)
    return Outcome(True, f"holding something {1000 * held:.0f} mm wide", held)
