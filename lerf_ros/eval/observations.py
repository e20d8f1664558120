# SPDX-License-Identifier: Apache-2.0
"""What is known of the surface without a field: pyramids of one view, or averaged over all that see a point."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional

from lerf_ros.core.geometry import invert, transform_points
from lerf_ros.core.keyframes import KeptImage, Keyframe, PosedImage
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.snapshot import FieldSnapshot, LanguageCache
from lerf_ros.sim.camera import RenderedFrame
from lerf_ros.sim.scene import Scene

SAME_SURFACE_M = 0.012
"""A view sees a point when its depth there is this near to the point's."""

STRIDE_PX = 4

Embeddings = Float[Tensor, "S N D"]


def view_averages(mapper: LerfMapper, snapshot: FieldSnapshot) -> tuple[FieldSnapshot, FieldSnapshot]:
    """Return the map with its field replaced: by the first keyframe's pyramid, and by the average over all keyframes.

    Embeddings are taken a pyramid level, not a physical scale: measured to be the better average. Points that no view
    in question sees have a zero embedding. `scales_m` are the levels' tiles at the keyframes' median depth.
    """
    language = mapper.trainer.language
    assert language is not None
    frames = mapper.store.view()
    points = snapshot.surface.points
    levels = len(_tiles(frames[0]))
    total = torch.zeros(levels, len(points), language.field.embed_dim)
    first: Embeddings | None = None
    for frame in frames:
        slot = language.bank.slot(frame.id)
        rows, u, v, _ = seen_points(frame.image, points)
        slots = np.full(len(rows), slot, np.int64)
        for level in range(levels):
            at = np.full(len(rows), level, np.float32)
            found = torch.from_numpy(language.bank.lookup(slots, u, v, at))
            total[level, torch.from_numpy(rows)] += functional.normalize(found, dim=-1)
        if first is None:
            first = total.bfloat16()
    assert first is not None
    average = torch.empty(total.shape, dtype=torch.bfloat16)
    for level in range(levels):
        average[level] = functional.normalize(total[level], dim=-1).bfloat16()
    scales = _scales_m(frames)
    one, all_ = (replace(snapshot, language=LanguageCache.of(scales, e)) for e in (first, average))
    return one, all_


def _tiles(frame: Keyframe) -> np.ndarray:
    assert frame.pyramid is not None
    return np.asarray(frame.pyramid.tile_px)


def _scales_m(frames: Sequence[Keyframe]) -> Float32[np.ndarray, " S"]:
    sizes = []
    for frame in frames:
        depth_m = frame.image.depth_m
        assert depth_m is not None
        depth = float(np.median(depth_m[depth_m > 0]))
        sizes.append(_tiles(frame) * depth / frame.image.intrinsics.fy)
    return np.asarray(np.mean(sizes, axis=0), np.float32)


def seen_points(image: PosedImage | KeptImage, points: Float[np.ndarray, "N 3"]) -> tuple[np.ndarray, ...]:
    """Return which world points an image sees (row indices), at which pixels u, v, and at which z-depth (m)."""
    u, v, z = image.intrinsics.project(transform_points(invert(image.T_world_cam), points.astype(np.float64)))
    k, depth = image.intrinsics, image.depth_m
    assert depth is not None
    with np.errstate(invalid="ignore"):
        inside: Bool[np.ndarray, " N"] = (u >= 0) & (u <= k.width - 1) & (v >= 0) & (v <= k.height - 1)
    rows = np.flatnonzero(inside)
    measured = depth[np.round(v[rows]).astype(int), np.round(u[rows]).astype(int)]
    rows = rows[np.abs(measured - z[rows]) < SAME_SURFACE_M]
    return rows, u[rows], v[rows], z[rows]


def visible_surface(
    scene: Scene, frame: RenderedFrame
) -> tuple[Float64[np.ndarray, "M 3"], Int64[np.ndarray, " M"]]:
    """Return every few pixels of a frame as a point in base_link, and the object it is on; background is left out."""
    k, depth, ids = frame.intrinsics, frame.depth_m, frame.geom_id
    assert depth is not None
    assert ids is not None
    v, u = (a.ravel() for a in np.mgrid[: k.height : STRIDE_PX, : k.width : STRIDE_PX])
    owner = np.where(ids[v, u] >= 0, scene.geom_object[ids[v, u]], -1)
    v, u, owner = v[owner >= 0], u[owner >= 0], owner[owner >= 0]
    z = depth[v, u].astype(np.float64)
    local = np.stack([(u - k.cx_px) / k.f_px * z, (v - k.cy_px) / k.f_px * z, z], axis=1)
    return local @ frame.T_world_cam[:3, :3].T + frame.T_world_cam[:3, 3], owner
