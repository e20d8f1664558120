# SPDX-License-Identifier: Apache-2.0
"""Images and exact depth of a patterned table with balls on it: known geometry, as large and as many as one likes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from lerf_ros.config import Config, from_flat
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage

VGA: Final = Intrinsics(640, 480, 560.0, 560.0, 319.5, 239.5)
HALF_M: Final = 0.5
WORKSPACE: Final = {"workspace.min_m": (-HALF_M, -HALF_M, -0.1), "workspace.max_m": (HALF_M, HALF_M, 0.4)}
SECOND_NS: Final = 1_000_000_000
TILE_M: Final = 0.06


@dataclass(frozen=True)
class Ball:
    """A sphere of one colour; metres."""

    centre: tuple[float, float, float]
    radius: float
    rgb: tuple[int, int, int]


def balls(count: int = 8, seed: int = 0) -> tuple[Ball, ...]:
    """Return balls that lie on the table, apart from each other on a ring."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(count):
        radius, angle = float(rng.uniform(0.03, 0.06)), 2 * np.pi * k / count
        reach = 0.15 + 0.12 * (k % 2)
        r, g, b = (int(v) for v in rng.integers(40, 240, 3))
        out.append(Ball((reach * float(np.cos(angle)), reach * float(np.sin(angle)), radius), radius, (r, g, b)))
    return tuple(out)


def scene_config(changes: dict[str, object] | None = None) -> Config:
    """Return the defaults on the table's workspace, every view a keyframe, with changes."""
    every = {"keyframes.min_translation_m": 0.0, "keyframes.min_rotation_rad": 0.0}
    return from_flat({**WORKSPACE, **every, **(changes or {})})


def poses(count: int, radius_m: float = 0.45, height_m: float = 0.5) -> list[Float64[np.ndarray, "4 4"]]:
    """Return cameras on rings around the table's middle, all looking at it; no two alike."""
    golden = np.pi * (3 - np.sqrt(5))
    out = []
    for k in range(count):
        share, angle = 0.6 + 0.4 * ((k * 7) % count) / count, golden * k
        eye = np.array([share * radius_m * np.cos(angle), share * radius_m * np.sin(angle), height_m])
        out.append(_look_at(eye, np.array([0.0, 0.0, 0.02])))
    return out


def render(pose: Float64[np.ndarray, "4 4"], camera: Intrinsics, solids: Sequence[Ball], stamp_ns: int) -> PosedImage:
    """Return colour and exact z-depth of one view; the table has no end."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    local = camera.unproject(u.ravel().astype(np.float64), v.ravel().astype(np.float64))
    rays = (local.astype(np.float64) @ pose[:3, :3].T).astype(np.float32)
    origin = pose[:3, 3].astype(np.float32)
    depth = np.where(rays[:, 2] < -1e-3, -origin[2] / np.minimum(rays[:, 2], -1e-3), np.float32(0))
    rgb = _pattern(origin[:2] + depth[:, None] * rays[:, :2])
    for ball in solids:
        hit = _hit(origin, rays, ball)
        nearer = hit < np.where(depth > 0, depth, np.inf)
        up = (origin[2] + hit[nearer] * rays[nearer, 2] - ball.centre[2]) / ball.radius
        depth[nearer] = hit[nearer]
        rgb[nearer] = (np.array(ball.rgb) * (0.55 + 0.45 * up[:, None].clip(0))).astype(np.uint8)
    shape = (camera.height, camera.width)
    return PosedImage(stamp_ns, rgb.reshape(*shape, 3), depth.astype(np.float32).reshape(shape), camera, pose)


def views(count: int, camera: Intrinsics = VGA, first_ns: int = SECOND_NS) -> list[PosedImage]:
    """Return images of the table from `count` places, a second apart."""
    solids = balls()
    return [render(pose, camera, solids, first_ns + k * SECOND_NS) for k, pose in enumerate(poses(count))]


def _pattern(xy: Float32[np.ndarray, "N 2"]) -> UInt8[np.ndarray, "N 3"]:
    """Return the table's colour: tiles of random grey-browns, with grain."""
    tile = np.floor(xy.clip(-50, 50) / TILE_M).astype(np.int64)
    grain = np.floor(xy.clip(-50, 50) / 0.004).astype(np.int64)
    tone = (tile[:, 0] * 73_856_093 ^ tile[:, 1] * 19_349_663) % 97
    fine = (grain[:, 0] * 83_492_791 ^ grain[:, 1] * 29_986_577) % 31
    base = np.stack([110 + tone, 95 + tone * 3 // 4, 80 + tone // 2], axis=1)
    return np.asarray(base + fine[:, None], np.uint8)


def _hit(origin: Float32[np.ndarray, " 3"], rays: Float32[np.ndarray, "N 3"], ball: Ball) -> Float32[np.ndarray, " N"]:
    """Return the z-depth (rays have z = 1 in the camera) at which rays enter a ball, infinity where they miss."""
    to = origin - np.array(ball.centre, np.float32)
    a, b, c = (rays * rays).sum(1), rays @ to, float(to @ to) - ball.radius**2
    root = b * b - a * c
    enter = (-b - np.sqrt(np.maximum(root, 0))) / a
    return np.asarray(np.where((root > 0) & (enter > 0), enter, np.inf), np.float32)


def _look_at(eye: Float64[np.ndarray, " 3"], target: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "4 4"]:
    """Return `T_world_cam` of an upright camera (optical axes) at `eye`."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    return pose
