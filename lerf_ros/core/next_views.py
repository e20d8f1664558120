# SPDX-License-Identifier: Apache-2.0
"""Where the camera should look next: poses ranked by the uncertain surface that each sees and those before do not.

Candidates look at the uncertain surface from all round and above; greedy choice of a submodular gain is within 1 - 1/e
of the best set (Krause and Guestrin 2005).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy.spatial import cKDTree

from lerf_ros.config import Config
from lerf_ros.core.geometry import Intrinsics, look_at, rotation_angle
from lerf_ros.core.surface import SurfaceMap
from lerf_ros.core.uncertainty import Uncertain, small_camera
from lerf_ros.core.visibility import in_view, splat_depth

TARGETS = 6
AZIMUTHS = 12
ELEVATIONS_RAD = (0.45, 0.8, 1.15)
CLEARANCE_M = 0.10
"""No candidate's camera is nearer than this to a surface."""

SAME_M = 0.1
SAME_RAD = 0.3
"""Within both, two views show the same."""

GRAZING = 0.2
"""Cosine below which a surface is seen too flat to be learned from."""


@dataclass(frozen=True)
class NextView:
    """A camera pose worth going to.

    Attributes:
        T_world_cam: optical axes.
        gain: share of the uncertain surface that it sees and no view ranked before it does, in [0, 1].
    """

    T_world_cam: Float64[np.ndarray, "4 4"]
    gain: float


def rank_views(
    uncertain: Uncertain, surface: SurfaceMap, camera: Intrinsics, config: Config, count: int,
    taken: Sequence[Float64[np.ndarray, "4 4"]] = (),
) -> list[NextView]:  # fmt: skip
    """Return up to `count` poses, best first; none when nothing is uncertain or no candidate sees any of it.

    Args:
        uncertain: what is to be seen.
        surface: what hides it, and must not be hit.
        camera: the one to be placed.
        config: the whole tree.
        count: how many at most.
        taken: poses of the keyframes there are; what they have not shown, a view from beside them will not either.
    """
    total = float(uncertain.weights.sum())
    poses = candidates(uncertain, surface, config)
    poses = poses[[not _beside(pose, taken) for pose in poses]]
    if total <= 0 or not len(poses):
        return []
    small = small_camera(camera)
    sees = np.stack([_sees(uncertain, surface, small, pose, config) for pose in poses])
    left = uncertain.weights.copy()
    views: list[NextView] = []
    while len(views) < count:
        gains = sees @ left
        best = int(gains.argmax())
        if gains[best] <= 1e-6 * total:
            break
        views.append(NextView(poses[best], float(gains[best]) / total))
        left = left * (1 - sees[best])
    return views


def candidates(uncertain: Uncertain, surface: SurfaceMap, config: Config) -> Float64[np.ndarray, "K 4 4"]:
    """Return poses all round the uncertain surface that look at it, clear of what is known and within reach."""
    eyes, targets = [], []
    distances = np.linspace(config.views.min_distance_m, config.views.max_distance_m, 3)[1:]
    for target in _targets(uncertain):
        for distance in distances:
            for elevation in ELEVATIONS_RAD:
                for azimuth in 2 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS:
                    flat = np.cos(elevation)
                    away = np.array([np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.sin(elevation)])
                    eyes.append(target + distance * away)
                    targets.append(target)
    if not eyes:
        return np.empty((0, 4, 4))
    eye = np.array(eyes)
    good = np.ones(len(eye), bool)
    if len(surface):
        good &= cKDTree(surface.points).query(eye, distance_upper_bound=CLEARANCE_M)[0] >= CLEARANCE_M
    if config.views.reach_m:
        good &= np.linalg.norm(eye, axis=1) <= config.views.reach_m
    poses = [look_at(eye[k], targets[k]) for k in np.flatnonzero(good)]
    return np.array(poses, np.float64).reshape(-1, 4, 4)


def _beside(T_world_cam: Float64[np.ndarray, "4 4"], taken: Sequence[Float64[np.ndarray, "4 4"]]) -> bool:
    """Return whether a pose differs little from one of others."""
    return any(
        np.linalg.norm(T_world_cam[:3, 3] - other[:3, 3]) < SAME_M
        and rotation_angle(T_world_cam[:3, :3].T @ other[:3, :3]) < SAME_RAD
        for other in taken
    )


def _targets(uncertain: Uncertain) -> list[Float64[np.ndarray, " 3"]]:
    """Return the centre of the uncertain surface, and points of it far from each other and from what is certain.

    Each next one is that with the largest weight times squared distance from those chosen (as k-means++ does, without
    the dice: the same map gives the same views).
    """
    weights = uncertain.weights.astype(np.float64)
    if weights.sum() <= 0:
        return []
    points = uncertain.points.astype(np.float64)
    chosen = [np.average(points, axis=0, weights=weights)]
    apart = ((points - chosen[0]) ** 2).sum(axis=1)
    while len(chosen) < TARGETS and (weights * apart).max() > 0:
        chosen.append(points[int((weights * apart).argmax())])
        apart = np.minimum(apart, ((points - chosen[-1]) ** 2).sum(axis=1))
    return chosen


def _sees(
    uncertain: Uncertain, surface: SurfaceMap, camera: Intrinsics, T_world_cam: Float64[np.ndarray, "4 4"],
    config: Config,
) -> Float32[np.ndarray, " M"]:  # fmt: skip
    """Return how well a camera there sees each, in [0, 1]: as its pixels on it go, with the angle and the distance."""
    depth = splat_depth(surface.points, surface.voxel_m, camera, T_world_cam)
    seen = in_view(uncertain.points, depth, 2 * surface.voxel_m, camera, T_world_cam)
    towards = T_world_cam[:3, 3].astype(np.float32) - uncertain.points
    distance = np.linalg.norm(towards, axis=1)
    near = np.minimum(config.views.min_distance_m / np.maximum(distance, 1e-6), 1.0) ** 2
    facing = (towards * uncertain.normals).sum(axis=1) / np.maximum(distance, 1e-6)
    facing = np.where(uncertain.normals.any(axis=1), np.where(facing > GRAZING, facing, 0), 1)
    return np.asarray(seen * near * facing, np.float32)
