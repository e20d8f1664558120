# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a scene: surface points of its objects in the world frame. For tests and evaluation only."""

from typing import Final

import mujoco
import numpy as np
from jaxtyping import Float64

from lerf_ros.sim.scene import Scene

_VISIBLE_GROUPS: Final = (0, 1, 2)


def _from_triangles(
    corners: Float64[np.ndarray, "F 3 3"], n: int, rng: np.random.Generator
) -> Float64[np.ndarray, "N 3"]:
    """Uniform points on triangles."""
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = corners[rng.choice(len(corners), n, p=area / area.sum())]
    a, b = np.sqrt(rng.random(n)), rng.random(n)
    weights = np.stack([1 - a, a * (1 - b), a * b], axis=1)
    return np.asarray(np.einsum("nk,nkd->nd", weights, chosen))


def _directions(n: int, rng: np.random.Generator) -> Float64[np.ndarray, "N 3"]:
    d = rng.standard_normal((n, 3))
    return np.asarray(d / np.linalg.norm(d, axis=1, keepdims=True))


def _on_box(half: Float64[np.ndarray, "3"], n: int, rng: np.random.Generator) -> Float64[np.ndarray, "N 3"]:
    area = np.array([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    axis = rng.choice(3, n, p=area / area.sum())
    points = rng.uniform(-1, 1, (n, 3))
    points[np.arange(n), axis] = np.sign(points[np.arange(n), axis])
    return np.asarray(points * half)


def _on_cylinder(radius: float, half: float, n: int, rng: np.random.Generator) -> Float64[np.ndarray, "N 3"]:
    side = rng.random(n) < half / (half + radius / 2)
    angle = rng.uniform(0, 2 * np.pi, n)
    r = np.where(side, radius, radius * np.sqrt(rng.random(n)))
    z = np.where(side, rng.uniform(-half, half, n), half * np.sign(rng.uniform(-1, 1, n)))
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


def _on_capsule(radius: float, half: float, n: int, rng: np.random.Generator) -> Float64[np.ndarray, "N 3"]:
    side = rng.random(n) < half / (half + radius)
    ball = radius * _directions(n, rng)
    ball[:, 2] += half * np.sign(ball[:, 2])
    tube = _on_cylinder(radius, half, n, rng)
    tube[:, :2] *= (radius / np.maximum(np.linalg.norm(tube[:, :2], axis=1), 1e-9))[:, None]
    tube[:, 2] = rng.uniform(-half, half, n)
    return np.where(side[:, None], tube, ball)


def _mesh_corners(model: mujoco.MjModel, mesh: int) -> Float64[np.ndarray, "F 3 3"]:
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    face, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    vertices = model.mesh_vert[first : first + count].astype(np.float64)
    return np.asarray(vertices[model.mesh_face[face : face + faces]])


def _geom_surface(model: mujoco.MjModel, geom: int, n: int, rng: np.random.Generator) -> Float64[np.ndarray, "N 3"]:
    """Points on a geom's surface in its own frame."""
    kind, size = mujoco.mjtGeom(int(model.geom_type[geom])), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return _from_triangles(_mesh_corners(model, int(model.geom_dataid[geom])), n, rng)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return _on_box(size, n, rng)
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return _on_cylinder(size[0], size[1], n, rng)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return _on_capsule(size[0], size[1], n, rng)
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return np.asarray(size[0] * _directions(n, rng))
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return np.asarray(size * _directions(n, rng))
    raise ValueError(f"geom {model.geom(geom).name!r} is a {kind.name}, whose surface is not sampled")


def surface_points(scene: Scene, index: int, n: int = 2000, *, part: str | None = None) -> Float64[np.ndarray, "N 3"]:
    """About `n` points on the visible surface of an object (or of one part of it) at its present pose, in base_link.

    Raises:
        ValueError: the object has no such part.
    """
    model, data = scene.model, scene.data
    rng = np.random.default_rng((scene.spec.seed, index))
    mine = [
        g
        for g in np.flatnonzero(scene.geom_object == index)
        if model.geom_group[g] in _VISIBLE_GROUPS and (part is None or scene.geom_part[g] == part)
    ]
    if not mine:
        raise ValueError(f"{scene.spec.objects[index].name} has no part {part!r}")
    each = max(1, n // len(mine))
    clouds = []
    for g in mine:
        local = _geom_surface(model, int(g), each, rng)
        clouds.append(local @ data.geom_xmat[g].reshape(3, 3).T + data.geom_xpos[g])
    return np.concatenate(clouds)


def distance_m(scene: Scene, index: int, point_m: Float64[np.ndarray, "3"]) -> float:
    """Distance from a world point to the object's sampled surface."""
    return float(np.linalg.norm(surface_points(scene, index, 6000) - point_m, axis=1).min())


def object_poses(scene: Scene) -> dict[str, Float64[np.ndarray, "4 4"]]:
    """`T_world_object` of every object."""
    poses = {}
    for item in scene.spec.objects:
        body = scene.data.body(item.name)
        pose = np.eye(4)
        pose[:3, :3] = np.array(body.xmat).reshape(3, 3)
        pose[:3, 3] = body.xpos
        poses[item.name] = pose
    return poses
