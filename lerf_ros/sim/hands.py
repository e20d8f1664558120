# SPDX-License-Identifier: Apache-2.0
"""A person's hand: moves things of the scene about, or takes them away, between two steps of the simulation."""

import math
from typing import Final

import mujoco
import numpy as np
from jaxtyping import Float64

from lerf_ros.sim.arm import Outcome
from lerf_ros.sim.scene import Scene

AWAY_M: Final = (30.0, 30.0, -0.6)
"""Where things are that were taken away: above the floor, far out of sight."""

START_M: Final = 0.001
OVERLAP_M: Final = 0.0005


def move(scene: Scene, name: str, x: float, y: float, yaw_rad: float) -> Outcome:
    """Put an object upright on the table at (x, y), metres in base_link, turned by `yaw_rad` about the vertical.

    Refused, with the object left where it was: no such object, off the table, or into something else.
    """
    refusal = _unknown(scene, name)
    if refusal:
        return Outcome(False, refusal)
    if not all(map(math.isfinite, (x, y, yaw_rad))):
        return Outcome(False, "x, y and yaw_rad must be finite numbers")
    low, high = _table_m(scene)
    if not (low[0] <= x <= high[0] and low[1] <= y <= high[1]):
        return Outcome(False, f"({x:.3f}, {y:.3f}) m is off the table, which reaches from ({low[0]:.2f}, {low[1]:.2f}) "
                              f"to ({high[0]:.2f}, {high[1]:.2f}) m")
    body = scene.data.body(name).id
    joint = scene.model.body_jntadr[body]
    at, moving = scene.model.jnt_qposadr[joint], scene.model.jnt_dofadr[joint]
    before = scene.data.qpos[at : at + 7].copy()
    half = yaw_rad / 2
    _place(scene, at, moving, np.array([x, y, START_M, math.cos(half), 0.0, 0.0, math.sin(half)]))
    if other := _hit(scene, body):
        _place(scene, at, moving, before)
        return Outcome(False, f"{name!r} does not fit there: it would stand in {other!r}")
    return Outcome(True, "")


def remove(scene: Scene, name: str) -> Outcome:
    """Take an object out of the scene; `move` brings it back."""
    refusal = _unknown(scene, name)
    if refusal:
        return Outcome(False, refusal)
    joint = scene.model.body_jntadr[scene.data.body(name).id]
    at, moving = scene.model.jnt_qposadr[joint], scene.model.jnt_dofadr[joint]
    index = [item.name for item in scene.spec.objects].index(name)
    _place(scene, at, moving, np.array([AWAY_M[0] + index, *AWAY_M[1:], 1.0, 0.0, 0.0, 0.0]))
    return Outcome(True, "")


def _unknown(scene: Scene, name: str) -> str:
    names = [item.name for item in scene.spec.objects]
    return "" if name in names else f"no object is named {name!r}; there are: {', '.join(names)}"


def _place(scene: Scene, at: int, moving: int, pose: Float64[np.ndarray, " 7"]) -> None:
    scene.data.qpos[at : at + 7] = pose
    scene.data.qvel[moving : moving + 6] = 0.0
    scene.forward()


def _table_m(scene: Scene) -> tuple[Float64[np.ndarray, " 2"], Float64[np.ndarray, " 2"]]:
    """Return the lower and upper corner of the table's top."""
    top = scene.model.geom("table_contact")
    centre, half = np.array(top.pos[:2]), np.array(top.size[:2])
    return centre - half, centre + half


def _hit(scene: Scene, body: int) -> str:
    """Return the body that one reaches into, the world's not minded; "" if none."""
    for k in range(scene.data.ncon):
        contact = scene.data.contact[k]
        bodies = [int(scene.model.geom_bodyid[g]) for g in contact.geom]
        if body in bodies and contact.dist < -OVERLAP_M:
            other = bodies[1] if bodies[0] == body else bodies[0]
            if other != 0:
                return str(mujoco.mj_id2name(scene.model, mujoco.mjtObj.mjOBJ_BODY, other))
    return ""
