# SPDX-License-Identifier: Apache-2.0
"""Views of an evaluation scene and the embeddings of its surface points, from one view and averaged over all.

The average over views by true depth stands in for a trained field: it measures the encoder, not the mapping.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from lerf_ros.config import PyramidConfig
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.geometry import look_at
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.pyramid import build_pyramid
from lerf_ros.core.pyramid_bank import PyramidBank
from lerf_ros.eval.mapping import posed_image, turn_arm_away
from lerf_ros.eval.observations import seen_points
from lerf_ros.sim.camera import RenderedFrame, SceneRenderer
from lerf_ros.sim.scene import Scene

N_VIEWS: Final = 4
SCALES_M: Final = np.linspace(0.05, 0.30, 8)
_STRIDE_PX: Final = 4
_MIN_VIEWS: Final = 3


@dataclass(frozen=True)
class SeenPoints:
    """Surface points of the first view that at least three views see, in base_link, with who owns them."""

    points_m: Float64[np.ndarray, "N 3"]
    owner: Int64[np.ndarray, "N"]
    part: tuple[str | None, ...]
    one_view: Float[Tensor, "S N D"]
    all_views: Float[Tensor, "S N D"]


def scan_poses(rng: np.random.Generator) -> list[Float64[np.ndarray, "4 4"]]:
    """Four poses like the demo's wrist scan: 0.45..0.70 m away, 35..70 degrees up, spread over half a turn."""
    start = rng.uniform(0, 2 * math.pi)
    poses = []
    for k in range(N_VIEWS):
        azimuth = start + k * math.pi / N_VIEWS + rng.uniform(-0.1, 0.1)
        elevation, distance = math.radians(rng.uniform(35, 70)), rng.uniform(0.45, 0.70)
        target = np.array([0.43, 0.0, 0.03]) + np.array([*rng.uniform(-0.04, 0.04, 2), 0.0])
        away = [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
        poses.append(look_at(target + distance * np.array(away), target))
    return poses


def render_views(scene: Scene, rng: np.random.Generator) -> list[RenderedFrame]:
    """Renders the four views with the arm turned away, as it is never in the wrist camera's image."""
    turn_arm_away(scene)
    with SceneRenderer(scene) as renderer:
        return [renderer.render_from(pose, depth=True, segmentation=True) for pose in scan_poses(rng)]


def _lookup(
    bank: PyramidBank, slot: int, tile_px: np.ndarray, u: np.ndarray, v: np.ndarray, z: np.ndarray, f_px: float
) -> Tensor:
    """Embeddings (S, N, D) at pixels (u, v) of z-depth z for all metric scales."""
    levels = np.arange(len(tile_px))
    slots = np.full(len(u), slot, np.int64)
    rows = []
    for scale_m in SCALES_M:
        level = np.interp(scale_m * f_px / z, tile_px, levels)
        rows.append(torch.from_numpy(bank.lookup(slots, u, v, level)))
    return torch.stack(rows)


def _project(image: PosedImage, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels u, v, depth z of world points, and whether this view sees that very surface (else 0, 0, 1)."""
    rows, *found = seen_points(image, points)
    u, v, z = np.zeros(len(points)), np.zeros(len(points)), np.ones(len(points))
    sees = np.zeros(len(points), bool)
    u[rows], v[rows], z[rows] = found
    sees[rows] = True
    return u, v, z, sees


def observe(scene: Scene, rng: np.random.Generator, encoder: ImageTextEncoder, config: PyramidConfig) -> SeenPoints:
    """Renders, encodes and fuses the four views of a scene."""
    frames = render_views(scene, rng)
    bank = PyramidBank()
    pyramids = [build_pyramid(encoder, frame.rgb, config) for frame in frames]
    slots = [bank.add(k, pyramid) for k, pyramid in enumerate(pyramids)]
    first = frames[0]
    k, depth, ids = first.intrinsics, first.depth_m, first.geom_id
    assert depth is not None
    assert ids is not None
    v, u = (a.ravel() for a in np.mgrid[2 : k.height : _STRIDE_PX, 2 : k.width : _STRIDE_PX])
    z = depth[v, u].astype(np.float64)
    local = np.stack([(u - k.cx_px) / k.f_px, (v - k.cy_px) / k.f_px, np.ones(len(u))], 1) * z[:, None]
    points = local @ first.T_world_cam[:3, :3].T + first.T_world_cam[:3, 3]
    seen = [_project(posed_image(frame, 0, math.inf), points) for frame in frames]
    keep = np.sum([s[3] for s in seen], axis=0) >= _MIN_VIEWS
    keep &= (ids[v, u] >= 0) & seen[0][3]
    total: Tensor | None = None
    one: Tensor | None = None
    for slot, pyramid, (pu, pv, pz, sees) in zip(slots, pyramids, seen, strict=True):
        found = _lookup(bank, slot, pyramid.tile_px, pu[keep], pv[keep], pz[keep], k.f_px)
        found = F.normalize(found, dim=-1) * torch.from_numpy(sees[keep]).float()[None, :, None]
        one = found if one is None else one
        total = found if total is None else total + found
    assert one is not None
    assert total is not None
    geoms = ids[v, u][keep]
    return SeenPoints(
        points_m=points[keep],
        owner=scene.geom_object[geoms],
        part=tuple(scene.geom_part[g] for g in geoms),
        one_view=one,
        all_views=F.normalize(total, dim=-1),
    )
