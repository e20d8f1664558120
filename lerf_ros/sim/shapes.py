# SPDX-License-Identifier: Apache-2.0
"""Triangle meshes made from a few numbers: surfaces of revolution and textured boxes."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

Point = tuple[float, float, float]
Profile = list[tuple[float, float]]


@dataclass(frozen=True)
class Mesh:
    """Triangles in metres; `uv_` is per vertex and absent for plain meshes."""

    vertices_m: Float64[np.ndarray, "V 3"]
    faces: Int64[np.ndarray, "F 3"]
    uv: Float64[np.ndarray, "V 2"] | None = None


def lathe(profile: Profile, segments: int = 28) -> Mesh:
    """Surface of revolution about z of a (radius, height) polyline running from the axis outwards and back."""
    outline = np.array([(max(r, 1e-4), z) for r, z in profile])
    angle = 2 * math.pi * np.arange(segments) / segments
    radius, height = outline[:, 0], outline[:, 1]
    vertices = np.stack(
        [
            np.outer(np.cos(angle), radius),
            np.outer(np.sin(angle), radius),
            np.broadcast_to(height, (segments, len(profile))),
        ],
        axis=-1,
    ).reshape(-1, 3)
    rows = len(profile)
    this = np.arange(segments)[:, None] * rows + np.arange(rows - 1)[None, :]
    following = (np.arange(segments)[:, None] + 1) % segments * rows + np.arange(rows - 1)[None, :]
    lower = np.stack([this, following, following + 1], axis=-1)
    upper = np.stack([this, following + 1, this + 1], axis=-1)
    return Mesh(vertices, np.concatenate([lower.reshape(-1, 3), upper.reshape(-1, 3)]).astype(np.int64))


def textured_box(half: Point) -> Mesh:
    """Box whose every face carries the whole texture upright (v flipped: MuJoCo counts v from the top)."""
    x, y, z = half
    quads = (
        ((-x, -y, -z), (x, -y, -z), (x, -y, z), (-x, -y, z)),
        ((x, y, -z), (-x, y, -z), (-x, y, z), (x, y, z)),
        ((x, -y, -z), (x, y, -z), (x, y, z), (x, -y, z)),
        ((-x, y, -z), (-x, -y, -z), (-x, -y, z), (-x, y, z)),
        ((-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)),
        ((-x, y, -z), (x, y, -z), (x, -y, -z), (-x, -y, -z)),
    )
    vertices = np.array(quads).reshape(-1, 3)
    uv = np.tile(np.array([(0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)]), (6, 1))
    start = 4 * np.arange(6)[:, None]
    faces = np.concatenate([start + np.array([0, 1, 2]), start + np.array([0, 2, 3])]).astype(np.int64)
    return Mesh(vertices, faces, uv)


def arc(centre_x_m: float, centre_z_m: float, radius_m: float, start_rad: float, end_rad: float, n: int) -> list[Point]:
    """`n + 1` points of a circle arc in the x-z plane."""
    return [
        (centre_x_m + radius_m * math.cos(t), 0.0, centre_z_m + radius_m * math.sin(t))
        for t in np.linspace(start_rad, end_rad, n + 1)
    ]
