# SPDX-License-Identifier: Apache-2.0
"""How far a camera sits from where its mounting says, told from depth alone: a hand-eye error, with its uncertainty.

The surface that keyframes measured is the same surface from wherever it was seen. Let the true pose of frame i be
`T_i X E_i`: the given one, one small correction X for all of them (the mounting's), and a little error of its own (the
arm's). A point p seen in frame i and the point q, with normal n, seen there in frame j obey
n . (T_i X E_i p - T_j X E_j q) = 0: point-to-plane ICP (Chen and Medioni 1992) of many views at once, solved by
Gauss-Newton. How large the frames' own errors are is learned from them (EM). The normal equations tell the covariance
of X, and views that do not tell some direction (a camera that only turned about the vertical does not tell its own
height) leave it as uncertain as mountings are beforehand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from lerf_ros.core.geometry import Intrinsics, invert, rotation_angle
from lerf_ros.core.keyframes import KeptImage
from lerf_ros.core.mounting import PRIOR, MountingError, rotation_vector

WIDTH_PX = 96
EVERY = 3
"""Depth is thinned to so many columns, and every third of what is left compared: neighbours tell little new."""

FRAMES = 16
PARTNERS = 4
"""The newest frames are used, each against those of them that see most of the same."""

ITERATIONS = 8
GATE_M = (0.06, 0.03, 0.02)
"""How far apart two points may be for one and the same, by iteration (the last goes on)."""

MIN_COSINE = 0.35
"""Surfaces seen more slantingly (70 degrees) have depth too uncertain to count."""

REACH_PX = 2
MAX_BEND = 0.02
"""Normals span that many thinned pixels to each side; where the depth bends by more (of itself) there is an edge."""

SAME_SIDE = 0.8
MIN_PIXELS = 200
MIN_POINTS = 60
MIN_PAIRS = 6
MIN_VIEWS = 8
"""Of fewer, all lie near each other: what they have in common is taken for an error of the mounting."""

LEAST_NOISE_M = 2e-4
INDEPENDENT = 100
"""So much do all points of a pair count together: pixels err alike, however many there are."""

OWN = np.array([math.radians(0.1)] * 3 + [0.001] * 3)
LEAST_SIZE = 0.1
"""Frames' own errors to begin with, one sigma (radians, metres), and the smallest share of it that is believed."""

LEAST = np.array([math.radians(0.02)] * 3 + [0.0003] * 3)
"""No estimate is surer than this: intrinsics and depth have errors of their own that all views share."""

def mounting_error(images: Sequence[KeptImage]) -> MountingError | None:
    """Return what the newest keyframes of one camera say; None: too few of them with depth see the same surface."""
    views = [view for view in (_View.of(image) for image in images[-FRAMES:]) if view is not None]
    pairs = _pairs(views)
    if len(views) < MIN_VIEWS or len(pairs) < MIN_PAIRS:
        return None
    found = _Estimate(np.eye(4), [np.eye(4)] * len(views), 1.0, np.eye(6))
    for iteration in range(ITERATIONS):
        gate_m = GATE_M[min(iteration, len(GATE_M) - 1)]
        told = [each for i, j in pairs if (each := _compare(i, j, views, found, gate_m)) is not None]
        if len(told) < MIN_PAIRS:
            return None
        found = _improved(found, told)
    order = [3, 4, 5, 0, 1, 2]
    covariance = found.covariance * np.outer(PRIOR, PRIOR) + np.diag(LEAST**2)
    return MountingError(found.X, np.asarray(covariance[np.ix_(order, order)]), len(told))


@dataclass(frozen=True, eq=False)
class _Estimate:
    """What is believed of the mounting and of every frame; twists are (rotation, shift) in units of `PRIOR`.

    Attributes:
        errors: of each frame, its own.
        size: of those, in units of `OWN`.
        covariance: of X.
    """

    X: Float64[np.ndarray, "4 4"]
    errors: list[Float64[np.ndarray, "4 4"]]
    size: float
    covariance: Float64[np.ndarray, "6 6"]


@dataclass(frozen=True, eq=False)
class _View:
    """A keyframe's measured points and their normals, in its camera, on a thinned grid."""

    camera: Intrinsics
    depth_m: Float32[np.ndarray, "h w"]
    points: Float64[np.ndarray, "h w 3"]
    normals: Float64[np.ndarray, "h w 3"]
    usable: Bool[np.ndarray, "h w"]
    T_world_cam: Float64[np.ndarray, "4 4"]

    @staticmethod
    def of(image: KeptImage) -> "_View | None":
        depth, mask = image.depth_m, image.mask
        if depth is None:
            return None
        step = max(1, image.intrinsics.width // WIDTH_PX)
        if mask is not None:
            depth = np.where(mask, depth, np.float32(0))
        thin = _thinned(depth, step)
        k, (rows, columns) = image.intrinsics, thin.shape
        offset = (step - 1) / 2
        camera = Intrinsics(columns, rows, k.fx / step, k.fy / step, (k.cx - offset) / step, (k.cy - offset) / step)
        v, u = np.mgrid[0:rows, 0:columns].astype(np.float64)
        rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1)
        points = rays * thin[..., None]
        normals, smooth = _normals(points, thin, rays)
        usable = smooth & (thin > 0)
        return None if usable.sum() < MIN_PIXELS else _View(camera, thin, points, normals, usable, image.T_world_cam)


def _thinned(depth_m: Float32[np.ndarray, "H W"], step: int) -> Float32[np.ndarray, "h w"]:
    """Return the mean depth of blocks of pixels, 0 where one of them is not measured or they are not one surface."""
    rows, columns = depth_m.shape[0] // step, depth_m.shape[1] // step
    blocks = depth_m[: rows * step, : columns * step].reshape(rows, step, columns, step)
    low, high = blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3))
    whole = (low > 0) & (high - low < 0.02 * step * low)
    return np.where(whole, blocks.mean(axis=(1, 3)), 0).astype(np.float32)


def _normals(
    points: Float64[np.ndarray, "h w 3"], depth_m: Float32[np.ndarray, "h w"], rays: Float64[np.ndarray, "h w 3"]
) -> tuple[Float64[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Return unit normals towards the camera by central differences, and where the surface is smooth enough for one."""
    du, dv = np.zeros_like(points), np.zeros_like(points)
    r = REACH_PX
    du[:, r:-r] = points[:, 2 * r :] - points[:, : -2 * r]
    dv[r:-r] = points[2 * r :] - points[: -2 * r]
    normals = np.cross(dv, du)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = normals / np.maximum(length, 1e-12)
    z = depth_m.astype(np.float64)
    facing = -np.einsum("hwi,hwi->hw", normals, rays) / np.linalg.norm(rays, axis=-1)
    smooth = np.zeros(depth_m.shape, bool)
    middle, left, right, above, below = (
        z[r:-r, r:-r], z[r:-r, : -2 * r], z[r:-r, 2 * r :], z[: -2 * r, r:-r], z[2 * r :, r:-r]
    )  # fmt: skip
    measured = np.minimum.reduce([middle, left, right, above, below]) > 0
    bend = np.maximum(np.abs(left + right - 2 * middle), np.abs(above + below - 2 * middle))
    smooth[r:-r, r:-r] = measured & (bend < MAX_BEND * middle)
    return normals, smooth & (facing > MIN_COSINE)


def _pairs(views: list[_View]) -> list[tuple[int, int]]:
    """Return, of each view, the others that see most of what it sees; both ways round count."""
    pairs: list[tuple[int, int]] = []
    for i, view in enumerate(views):
        seen = {}
        some = view.points[view.usable][::7]
        for j, other in enumerate(views):
            if j != i:
                T = invert(other.T_world_cam) @ view.T_world_cam
                u, v, z = other.camera.project(some @ T[:3, :3].T + T[:3, 3])
                inside = (z > 0) & (u >= 0) & (u < other.camera.width) & (v >= 0) & (v < other.camera.height)
                # What is seen from elsewhere tells more than what is seen from the same place once more.
                seen[j] = float(inside.mean()) * min(1.0, rotation_angle(T[:3, :3]) / 0.3)
        best = sorted(seen, key=lambda j: -seen[j])[:PARTNERS]
        pairs += [(i, j) for j in best if seen[j] > 0.1]
    return pairs


@dataclass(frozen=True, eq=False)
class _Told:
    """What one pair says: normal equations of the twists of its two frames."""

    views: tuple[int, int]
    A: Float64[np.ndarray, "12 12"]
    b: Float64[np.ndarray, " 12"]


def _compare(i: int, j: int, views: list[_View], now: _Estimate, gate_m: float) -> _Told | None:
    """Return what the points of view i, seen in view j, say of the next change of either."""
    a, b = views[i], views[j]
    T = invert(b.T_world_cam @ now.X @ now.errors[j]) @ a.T_world_cam @ now.X @ now.errors[i]
    some = np.flatnonzero(a.usable)[::EVERY]
    p = a.points.reshape(-1, 3)[some]
    in_b = p @ T[:3, :3].T + T[:3, 3]
    u, v, z = b.camera.project(in_b)
    inside = (z > 0) & (u >= 0) & (u <= b.camera.width - 1) & (v >= 0) & (v <= b.camera.height - 1)
    p, in_b, u, v = p[inside], in_b[inside], u[inside], v[inside]
    column, row = np.rint(u).astype(int), np.rint(v).astype(int)
    q, n = b.points[row, column], b.normals[row, column]
    n_a = a.normals.reshape(-1, 3)[some][inside] @ T[:3, :3].T
    gap = in_b - q
    same = b.usable[row, column] & (np.einsum("ni,ni->n", gap, gap) < gate_m**2)
    same &= np.einsum("ni,ni->n", n, n_a) > SAME_SIDE
    if same.sum() < MIN_POINTS:
        return None
    p, q, n, gap = p[same], q[same], n[same], gap[same]
    residual = np.einsum("ni,ni->n", n, gap)
    m = n @ T[:3, :3]  # the normal in a's camera: n . R (w x p + s) - n . (w x q + s) by w and s of either
    J = np.concatenate([np.cross(p, m), m, -np.cross(q, n), -n], axis=1) * np.tile(PRIOR, 2)
    scale = max(1.4826 * float(np.median(np.abs(residual))), LEAST_NOISE_M)
    weight = 1 / (1 + (residual / (3 * scale)) ** 2) ** 2 / scale**2  # Geman-McClure: edges that do not match fade
    weighted = J * (weight * INDEPENDENT / len(p))[:, None]
    return _Told((i, j), weighted.T @ J, weighted.T @ residual)


def _improved(now: _Estimate, told: list[_Told]) -> _Estimate:
    """Return the estimate after one step of Gauss-Newton, and one of EM for the size of the frames' own errors."""
    n = len(now.errors)
    A, b = np.zeros((6 * n, 6 * n)), np.zeros(6 * n)
    for each in told:
        at = np.concatenate([np.arange(6 * i, 6 * i + 6) for i in each.views])
        A[np.ix_(at, at)] += each.A
        b[at] += each.b
    spread = np.concatenate([np.tile(np.eye(6), (n, 1)), np.eye(6 * n)], axis=1)  # X moves all frames, E_i one
    own = np.tile(now.size * OWN / PRIOR, n)
    sure = np.concatenate([np.ones(6), 1 / own**2])
    believed = np.concatenate([_twist(T) / PRIOR for T in (now.X, *now.errors)])
    covariance = np.linalg.inv(spread.T @ A @ spread + np.diag(sure))
    step = -covariance @ (spread.T @ b + sure * believed)
    twists = [part * PRIOR for part in np.split(step, n + 1)]
    moments = (believed + step)[6:] ** 2 + np.diag(covariance)[6:]
    size = now.size * math.sqrt(float(np.mean(moments / own**2)))
    errors = [E @ _exponential(twist) for E, twist in zip(now.errors, twists[1:], strict=True)]
    return _Estimate(now.X @ _exponential(twists[0]), errors, max(size, LEAST_SIZE), covariance[:6, :6])


def _exponential(twist: Float64[np.ndarray, " 6"]) -> Float64[np.ndarray, "4 4"]:
    """Return the transform of a rotation vector (Rodrigues) and a shift."""
    w, angle = twist[:3], float(np.linalg.norm(twist[:3]))
    K = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
    s, c = (1.0, 0.5) if angle < 1e-9 else (math.sin(angle) / angle, (1 - math.cos(angle)) / angle**2)
    out = np.eye(4)
    out[:3, :3] = np.eye(3) + s * K + c * K @ K
    out[:3, 3] = twist[3:]
    return out


def _twist(T: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, " 6"]:
    """Return (rotation vector, shift) of a small transform: what `_exponential` undoes."""
    return np.concatenate([rotation_vector(T[:3, :3]), T[:3, 3]])
