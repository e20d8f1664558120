# SPDX-License-Identifier: Apache-2.0
"""Ways to take a thing with a parallel gripper, from its surface points and those of everything else.

Tool frame: z = approach direction (towards the thing), y = closing axis, origin = between the finger pads, a little
behind the tips. A surface seen from above hides what is below it, so every point is taken to continue
along the approach direction (its shadow): an opening that clears all visible points clears the thing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64

from lerf_ros.config import GraspConfig
from lerf_ros.core.segments import Plane
from lerf_ros.core.surface import SurfaceMap

YAWS = 24
PREGRASP_M = 0.08
MIN_HOLD_M = 0.003
"""Least overlap of fingers and thing along the approach: a spoon on a table offers no more."""

MIN_FACING = 0.75
"""Least cosine between a face that is seen and the closing axis (41 degrees): fingers slip off a corner."""

OFF_CENTRE_M = 0.07
"""A hold this far from the middle of the thing is worth 1/e: handles yes, but only if the body cannot be held."""

MIN_GEOMETRIC = 0.1
MAX_CANDIDATES = 20
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class GraspCandidate:
    """One way to grasp.

    Attributes:
        T_world_tcp: tool pose at the moment the fingers close.
        width_m: opening to approach with: the thing's width plus the margin.
        pregrasp_m: start this far back along the tool's -z; the fingers' way from there is free.
        score: semantic x geometric.
        semantic: mean relevancy of what lies between the fingers.
        geometric: in [0, 1], how centred, deep, narrow and well opposed the hold is.
    """

    T_world_tcp: Float64[np.ndarray, "4 4"]
    width_m: float
    pregrasp_m: float
    score: float
    semantic: float
    geometric: float


@dataclass(frozen=True)
class _Thing:
    """What is grasped, and what is in the way, in one approach frame: x, y across the approach, z along it."""

    turn: Float64[np.ndarray, "3 3"]  # columns: the frame's axes in the world
    points: Float64[np.ndarray, "N 3"]
    normals: Float64[np.ndarray, "N 3"]
    relevancy: Float32[np.ndarray, " N"]
    others: Float64[np.ndarray, "M 3"]
    floor: Plane | None  # in this frame


def propose(
    points: Float32[np.ndarray, "N 3"],
    normals: Float32[np.ndarray, "N 3"],
    scene: SurfaceMap,
    support: Plane | None,
    config: GraspConfig,
    relevancy: Float32[np.ndarray, " N"],
) -> tuple[GraspCandidate, ...]:
    """Return collision-free grasps of the thing made of `points`, best first; empty if nothing fits.

    Args:
        points, normals, relevancy: of the thing; points metres, in the frame of `scene`.
        scene: all surfaces, the thing among them.
        support: what the thing stands on, kept clear by the fingertips.
        config: the gripper.
    """
    near = _others(points, scene, support, 2 * config.max_opening_m)
    found: list[GraspCandidate] = []
    for approach in _approaches(points, normals, relevancy, support):
        for yaw in _yaws(points @ _frame(approach, 0.0)):
            turn = _frame(approach, yaw)
            floor = None if support is None else Plane(turn.T @ support.normal, support.offset)
            thing = _Thing(turn, points @ turn, normals @ turn, relevancy, near @ turn, floor)
            found.extend(_along(thing, config))
    return _distinct(sorted(found, key=lambda g: -g.score))


def _others(
    points: Float32[np.ndarray, "N 3"], scene: SurfaceMap, support: Plane | None, reach_m: float
) -> Float32[np.ndarray, "M 3"]:
    """Return the scene's points near the thing that are neither its own nor the support's."""
    low, high = points.min(axis=0) - reach_m, points.max(axis=0) + reach_m
    near = scene.points[((scene.points > low) & (scene.points < high)).all(axis=1)]
    mine = {p.tobytes() for p in points}
    keep = np.fromiter((p.tobytes() not in mine for p in near), bool, len(near))
    if support is not None:
        keep &= support.height(near) > 1.5 * scene.voxel_m
    others: Float32[np.ndarray, "M 3"] = near[keep]
    return others


def _approaches(
    points: Float32[np.ndarray, "N 3"], normals: Float32[np.ndarray, "N 3"], relevancy: Float32[np.ndarray, " N"],
    support: Plane | None,
) -> Iterator[Float64[np.ndarray, " 3"]]:  # fmt: skip
    """Yield approach directions: down onto the support, and against the hottest part's normal if that is sideways."""
    down = -(UP if support is None else support.normal)
    yield down
    hot = relevancy >= np.quantile(relevancy, 0.9)
    mean = normals[hot].mean(axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(mean))
    if norm > 0.7 and 0.35 < mean @ -down / norm < 0.94:  # a clear side, 20 to 70 degrees off the vertical
        yield -mean / norm


def _yaws(points: Float64[np.ndarray, "N 3"]) -> Float64[np.ndarray, " Y"]:
    """Return the turns of the closing axis to try: an even sweep, and along the sides of the least rectangle."""
    angle = np.radians(cv2.minAreaRect((points[:, :2] * 1e3).astype(np.float32))[2])
    return np.concatenate([[-angle, np.pi / 2 - angle], np.arange(YAWS) * np.pi / YAWS])


def _frame(approach: Float64[np.ndarray, " 3"], yaw: float) -> Float64[np.ndarray, "3 3"]:
    """Return axes x, y, z as columns: z the approach, y turned by `yaw` about it."""
    seed = np.array([0.0, 1.0, 0.0]) if abs(approach[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    x = np.cross(seed, approach)
    x /= np.linalg.norm(x)
    y = np.cross(approach, x)
    closing = np.cos(yaw) * y + np.sin(yaw) * x
    return np.stack([np.cross(closing, approach), closing, approach], axis=1)


def _along(thing: _Thing, config: GraspConfig) -> Iterator[GraspCandidate]:
    """Yield the free grasps of one hand orientation: the hand moved along the thing across the closing axis."""
    half = config.finger_width_m / 2
    x = thing.points[:, 0]
    middle, span = (x.min() + x.max()) / 2, max(x.max() - x.min() - config.finger_width_m, 0.0)
    steps = int(span / 0.02) // 2 * 2 + 1
    for at in middle + (np.linspace(-span / 2, span / 2, steps) if steps > 1 else np.zeros(1)):
        slab = np.abs(x - at) < half
        if slab.sum() < 5:
            continue
        candidate = _close(thing, float(at), slab, config)
        if candidate is not None:
            yield candidate


def _close(thing: _Thing, at: float, slab: Bool[np.ndarray, " N"], config: GraspConfig) -> GraspCandidate | None:
    """Return the grasp with the fingers at x = `at`, as deep as it goes, if it fits and is free."""
    inside = thing.points[slab]
    low, high = float(inside[:, 1].min()), float(inside[:, 1].max())
    spacing = _spacing(inside)
    width, mid = high - low + spacing / 2, (low + high) / 2  # half a voxel: edges lie beyond the outermost means
    opening = width + config.margin_m
    if opening > config.max_opening_m:
        return None
    reach = opening / 2 + config.finger_thickness_m
    tip = _deepest(thing, at, mid, reach, config)
    above = inside[inside[:, 2] < tip]
    if len(above) < 3 or tip - float(above[:, 2].min()) < MIN_HOLD_M:
        return None
    if _blocked(thing, at, mid, opening / 2, tip, config):
        return None
    held = slab & (thing.points[:, 2] < tip)
    facing = _facing(thing, mid, width, held)
    geometric = _quality(thing, at, mid, width, tip, held, config) * (0.5 + 0.5 * facing)
    if facing < MIN_FACING or geometric < MIN_GEOMETRIC:
        return None
    semantic = float(thing.relevancy[held].mean())
    pose = np.eye(4)
    pose[:3, :3] = thing.turn
    pose[:3, 3] = thing.turn @ np.array([at, mid, tip - config.tip_beyond_tcp_m])
    return GraspCandidate(pose, opening, PREGRASP_M, semantic * geometric, semantic, geometric)


def _spacing(points: Float64[np.ndarray, "N 3"]) -> float:
    """Return about how far neighbouring points are apart across the closing axis, at most 5 mm."""
    gaps = np.diff(np.sort(points[:, 1]))
    return float(np.clip(gaps.max(initial=0.0), 0.0, 0.005))


def _deepest(thing: _Thing, x: float, y: float, reach: float, config: GraspConfig) -> float:
    """Return how far along the approach the tips may go: palm over the thing, tips over the support."""
    p = thing.points
    under_palm = (np.abs(p[:, 0] - x) < config.finger_width_m) & (np.abs(p[:, 1] - y) < reach)
    tip = float(p[under_palm, 2].min()) + config.finger_depth_m
    if thing.floor is not None:
        a, b, c = thing.floor.normal
        for dx in (-config.finger_width_m / 2, config.finger_width_m / 2):
            for dy in (-reach, reach):
                rest = thing.floor.offset + config.clearance_m - a * (x + dx) - b * (y + dy)
                tip = min(tip, float(rest / c)) if c < -1e-6 else tip
    return tip


def _blocked(thing: _Thing, x: float, y: float, half_opening: float, tip: float, config: GraspConfig) -> bool:
    """Return whether a finger or the palm would touch anything on its way in."""
    p = np.concatenate([thing.others, thing.points])
    dx, dy = np.abs(p[:, 0] - x), np.abs(p[:, 1] - y)
    fingers = (dx < config.finger_width_m / 2) & (dy > half_opening) & (dy < half_opening + config.finger_thickness_m)
    palm = (dx < config.finger_width_m) & (dy < half_opening + config.finger_thickness_m)
    hit = (fingers & (p[:, 2] < tip)) | (palm & (p[:, 2] < tip - config.finger_depth_m - 1e-6))
    between = (dx < config.finger_width_m / 2) & (dy <= half_opening) & (p[:, 2] < tip)
    between[len(thing.others) :] = False
    return bool(hit.any() or between.sum() > 2)


def _quality(
    thing: _Thing, x: float, y: float, width: float, tip: float, held: Bool[np.ndarray, " N"], config: GraspConfig
) -> float:
    """Return in [0, 1]: near the thing's middle, deep between the fingers, narrow against the opening."""
    middle = (thing.points[:, :2].min(axis=0) + thing.points[:, :2].max(axis=0)) / 2
    centred = float(np.exp(-(((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / OFF_CENTRE_M**2)))
    depth = min((tip - float(thing.points[held, 2].min())) / config.finger_depth_m, 1.0)
    narrow = 1.0 - 0.5 * width / config.max_opening_m
    return centred * (0.4 + 0.6 * depth) * narrow


def _facing(thing: _Thing, y: float, width: float, held: Bool[np.ndarray, " N"]) -> float:
    """Return the cosine between the closing axis and the worse of the two faces; 0.8 where no side face is seen."""
    offset, normals = thing.points[held, 1] - y, thing.normals[held]
    worst, zone = 1.0, min(0.006, 0.25 * width)
    for sign in (-1.0, 1.0):
        contact = (sign * offset > width / 2 - zone) & (np.abs(normals[:, 2]) < 0.6)
        worst = min(worst, float((sign * normals[contact, 1]).mean()) if contact.any() else 0.8)
    return worst


def _distinct(ranked: list[GraspCandidate]) -> tuple[GraspCandidate, ...]:
    """Keep the best of each neighbourhood (1.5 cm and 20 degrees), at most `MAX_CANDIDATES`."""
    kept: list[GraspCandidate] = []
    for g in ranked:
        position, closing, approach = g.T_world_tcp[:3, 3], g.T_world_tcp[:3, 1], g.T_world_tcp[:3, 2]
        if all(
            np.linalg.norm(position - k.T_world_tcp[:3, 3]) > 0.015
            or abs(closing @ k.T_world_tcp[:3, 1]) < 0.94
            or approach @ k.T_world_tcp[:3, 2] < 0.94
            for k in kept
        ):
            kept.append(g)
        if len(kept) == MAX_CANDIDATES:
            break
    return tuple(kept)
