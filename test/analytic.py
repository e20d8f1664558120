# SPDX-License-Identifier: Apache-2.0
"""Exact depth images of a plane z = 0 with simple solids on it, and cameras that look at them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage

CAMERA = Intrinsics(320, 240, 280.0, 280.0, 159.5, 119.5)


@dataclass(frozen=True)
class Sphere:
    centre: tuple[float, float, float]
    radius: float
    colour: tuple[int, int, int] = (200, 30, 30)

    def hit(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        to = origin - np.array(self.centre)
        a, b, c = (rays**2).sum(-1), rays @ to, to @ to - self.radius**2
        root = b * b - a * c
        return np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)


@dataclass(frozen=True)
class Box:
    """Axis-aligned in its own frame, turned by `yaw` about the vertical, standing on `centre` z - half z."""

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float = 0.0
    colour: tuple[int, int, int] = (30, 30, 200)

    def hit(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        o, d = turn @ (origin - np.array(self.centre)), rays @ turn.T
        half = np.array(self.size) / 2
        with np.errstate(divide="ignore"):
            t1, t2 = (-half - o) / d, (half - o) / d
        near, far = np.minimum(t1, t2).max(-1), np.maximum(t1, t2).min(-1)
        return np.where((near < far) & (near > 0), near, np.inf)


@dataclass(frozen=True)
class Cylinder:
    """Upright; `centre` is the middle of its axis."""

    centre: tuple[float, float, float]
    radius: float
    height: float
    colour: tuple[int, int, int] = (30, 160, 30)

    def hit(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        o = origin - np.array(self.centre)
        a, b = (rays[..., :2] ** 2).sum(-1), rays[..., :2] @ o[:2]
        root = b * b - a * (o[:2] @ o[:2] - self.radius**2)
        side = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / np.maximum(a, 1e-12), np.inf)
        side = np.where(np.abs(o[2] + side * rays[..., 2]) <= self.height / 2, side, np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            top = (self.height / 2 - o[2]) / rays[..., 2]
            at = o[:2] + top[..., None] * rays[..., :2]
        top = np.where((top > 0) & ((at**2).sum(-1) <= self.radius**2), top, np.inf)
        return np.minimum(side, top)


def look_at(eye: Sequence[float], target: Sequence[float]) -> np.ndarray:
    """Return `T_world_cam` of an upright optical-frame camera."""
    forward = np.array(target, float) - np.array(eye, float)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    if np.linalg.norm(right) < 1e-6:
        right = np.array([1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    T[:3, 3] = eye
    return T


def render(solids: Sequence[Sphere | Box | Cylinder], T_world_cam: np.ndarray, stamp_ns: int = 0,
           camera: Intrinsics = CAMERA) -> PosedImage:  # fmt: skip
    """Return the image (flat colours, grey plane) and exact z-depth; sky has depth 0."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    rays = camera.unproject(u.ravel().astype(float), v.ravel().astype(float)).reshape(*u.shape, 3).astype(float)
    world, origin = rays @ T_world_cam[:3, :3].T, T_world_cam[:3, 3]
    with np.errstate(divide="ignore"):
        plane = np.where(world[..., 2] < 0, -origin[2] / world[..., 2], np.inf)
    hits = np.stack([plane, *(s.hit(origin, world) for s in solids)])
    first = hits.argmin(axis=0)
    colours = np.array([(128, 128, 128), *(s.colour for s in solids)], np.uint8)
    depth = hits.min(axis=0)
    depth = np.where(np.isfinite(depth), depth, 0).astype(np.float32)
    return PosedImage(stamp_ns, colours[first], depth, camera, T_world_cam)


def ring(count: int, radius: float = 0.5, height: float = 0.45) -> list[np.ndarray]:
    """Return camera poses evenly around the z axis, all looking at its foot."""
    angles = np.arange(count) * 2 * np.pi / count + 0.3
    return [look_at((radius * np.cos(a), radius * np.sin(a), height), (0, 0, 0.02)) for a in angles]
