# SPDX-License-Identifier: Apache-2.0
"""The scripted wrist scan: two overviews, then rings of views around the workspace, ordered for short moves."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from lerf_ros.core.geometry import look_at
from lerf_ros.sim.arm import Arm, Outcome, Program, Segment
from lerf_ros.sim.kinematics import Joints, Kinematics
from lerf_ros.sim.scene import HOME_JOINTS_RAD


@dataclass(frozen=True)
class Viewpoint:
    """Where the camera is, seen from what it looks at: azimuth from world x, elevation above the table."""

    azimuth_deg: float
    elevation_deg: float
    distance_m: float
    target_m: tuple[float, float, float] = (0.43, 0.0, 0.03)

    def pose(self) -> Float64[np.ndarray, "4 4"]:
        """`T_world_cam`, optical axes, image upright."""
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        flat = math.cos(elevation)
        away = np.array([math.cos(azimuth) * flat, math.sin(azimuth) * flat, math.sin(elevation)])
        target = np.array(self.target_m)
        return look_at(target + self.distance_m * away, target)


def _ring(azimuths: tuple[int, ...], elevation: float, distance: float) -> tuple[Viewpoint, ...]:
    return tuple(Viewpoint(a, elevation, distance) for a in azimuths)


#: The arm reaches around the workspace from its own side only: azimuths beyond +-90 degrees from world x.
VIEWPOINTS: Final[tuple[Viewpoint, ...]] = (
    *_ring((180, -160), 72, 0.68),
    *_ring((-160, -140, -120, -100), 62, 0.5),
    *_ring((-100, -120, -140, -160), 45, 0.5),
    *_ring((180, 160, 140, 120, 100), 45, 0.5),
    *_ring((100, 120, 140, 160), 62, 0.5),
    *_ring((150, 120, 90), 55, 0.42),
    Viewpoint(150, 78, 0.42, (0.38, 0.10, 0.03)),
    Viewpoint(150, 78, 0.42, (0.50, 0.10, 0.03)),
    Viewpoint(180, 78, 0.42, (0.50, 0.00, 0.03)),
    Viewpoint(-150, 78, 0.42, (0.50, -0.10, 0.03)),
    Viewpoint(-150, 78, 0.42, (0.38, -0.10, 0.03)),
    *_ring((-90, -120, -150), 55, 0.42),
)


def scan_joints(kinematics: Kinematics) -> list[Joints]:
    """Joint angles of every viewpoint, each near the one before.

    Raises:
        ValueError: a viewpoint is out of reach.
    """
    joints = np.array(HOME_JOINTS_RAD)
    path: list[Joints] = []
    for k, view in enumerate(VIEWPOINTS):
        found = kinematics.solve_camera(view.pose(), joints)
        if found is None:
            raise ValueError(f"viewpoint {k} ({view}) is out of the arm's reach")
        joints = found
        path.append(joints)
    return path


def scan_program(arm: Arm, arrived: Callable[[int], None] = lambda _: None) -> Program:
    """Visits all viewpoints, calls `arrived(index)` at each, and goes home."""
    for k, joints in enumerate(scan_joints(arm.kinematics)):
        yield Segment(joints)
        arrived(k)
    yield Segment(np.array(HOME_JOINTS_RAD))
    return Outcome(True, f"{len(VIEWPOINTS)} viewpoints visited")


def look_program(arm: Arm, T_world_cam: Float64[np.ndarray, "4 4"]) -> Program:
    """Brings the wrist camera to an optical pose, by the nearest joint angles that do."""
    joints = arm.kinematics.solve_camera(T_world_cam, arm.joints())
    if joints is None:
        joints = arm.kinematics.solve_camera(T_world_cam, np.array(HOME_JOINTS_RAD))
    if joints is None:
        return Outcome(False, "the pose is out of the arm's reach")
    yield Segment(joints)
    return Outcome(True, "there")
