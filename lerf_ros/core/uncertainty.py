# SPDX-License-Identifier: Apache-2.0
"""What a map is unsure of: surface it knows badly, and space no camera has looked into.

A point is known badly when few keyframes have seen it, or when the learned density does not stop the light at it
(the field's own doubt; compare the termination entropy of ActiveNeRF, arXiv 2209.08546). In space nobody has looked
into, things may hide. Things and what is beside them count more than bare tables; for a phrase, where it is undecided.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.spatial import cKDTree

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.request import QueryRequest
from lerf_ros.core.search import Search, segments_of
from lerf_ros.core.segments import Segments
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.surface import SurfaceMap
from lerf_ros.core.visibility import in_view, splat_depth

CELL_M = 0.04
"""Side of the cells that tell looked-at space from the rest; the workspace has at most `MAX_CELLS` along a side."""

MAX_CELLS = 64
HIDING_M = 0.15
"""Unseen space this near to known surface may hide something."""

PLAIN = 0.2
"""Weight of what lies on and about tables, floors and walls, against things and what is beside them."""

POINTS = 8000
"""Surface points looked at; the others are as their neighbours."""

ENOUGH = 3
"""So many times `surface.min_views` a point is known as well as views can tell."""

SMALL_PX = 80
"""Width of the depth images that decide what a keyframe has seen."""


@dataclass(frozen=True)
class Uncertain:
    """Uncertain surface, and unseen cells, in the world frame.

    Attributes:
        points: metres.
        normals: unit, towards where it can be seen from; zero where that is unknown.
        weights: uncertain area of each (of a cell: of one side), square metres.
    """

    points: Float32[np.ndarray, "M 3"]
    normals: Float32[np.ndarray, "M 3"]
    weights: Float32[np.ndarray, " M"]


def small_camera(camera: Intrinsics) -> Intrinsics:
    """Return the camera with the few pixels that visibility needs."""
    width = min(SMALL_PX, camera.width)
    return camera.scaled(width, max(1, round(camera.height * width / camera.width)))


def uncertain_surface(
    snapshot: FieldSnapshot, view: FieldView, encoder: ImageTextEncoder, config: Config, prompt: str = ""
) -> Uncertain:
    """Return what a new view would be good for.

    Args:
        snapshot: the map.
        view: of the snapshot's frozen weights.
        encoder: the map's own.
        config: the whole tree.
        prompt: a phrase that is looked for; "" = coverage of the workspace.

    Raises:
        EncoderError, PromptError: as a query with that phrase.
    """
    surface = snapshot.surface
    rows = np.linspace(0, len(surface) - 1, min(POINTS, len(surface))).round().astype(np.int64)
    points, normals = surface.points[rows], surface.normals[rows]
    area = surface.voxel_m**2 * len(surface) / max(len(rows), 1)
    known = surface.views[rows] / np.float32(config.surface.min_views)
    passed = 1 - view.stopping(points, normals, surface.voxel_m)
    doubt = np.maximum(1 - known, passed * (1 - known / ENOUGH)).clip(0, 1)
    things = _on_things(segments_of(snapshot, 1))
    doubt = np.where(things[rows], doubt, PLAIN * doubt)
    open_share = np.float32(1.0)
    if prompt:
        undecided, open_share = _undecided(snapshot, encoder, config, prompt)
        doubt = doubt * undecided[rows]
    hidden, cell_m = unseen_space(surface, [view.camera(k) for k in range(view.views)], config)
    beside = np.full(len(hidden), PLAIN)
    if things.any():
        beside[cKDTree(surface.points[things]).query(hidden, distance_upper_bound=HIDING_M)[0] <= HIDING_M] = 1.0
    return Uncertain(
        np.concatenate([points, hidden]),
        np.concatenate([normals, np.zeros_like(hidden)]),
        np.concatenate([area * doubt, open_share * cell_m**2 * beside]).astype(np.float32),
    )


def _on_things(segments: Segments) -> Bool[np.ndarray, " N"]:
    """Return which points belong to things: not to tables, floors and walls, which one view shows as well as ten."""
    return np.asarray(segments.body >= len(segments.planes), np.bool_)


def _undecided(
    snapshot: FieldSnapshot, encoder: ImageTextEncoder, config: Config, prompt: str
) -> tuple[Float32[np.ndarray, " N"], np.float32]:
    """Return how undecided it is for each point whether it is what the phrase names, and how likely that is elsewhere.

    Of a probability p undecided is 4 p (1 - p): 1 at a half, 0 where all is clear.
    """
    search = Search(snapshot, QueryRequest((prompt,)), encoder, config)
    place = search.places((prompt,))[0]
    undecided = np.zeros(len(snapshot.surface), np.float32)
    if place is None:
        return undecided, np.float32(1.0)
    for match in place.matches:
        thing = search.segments.body == match.segment if match.segment >= 0 else np.ones(len(undecided), bool)
        undecided[thing] = 4 * match.probability * (1 - match.probability)
    return undecided, np.float32(1.0 - place.best.probability)


def unseen_space(
    surface: SurfaceMap, cameras: Sequence[tuple[Intrinsics, Float64[np.ndarray, "4 4"]]], config: Config
) -> tuple[Float32[np.ndarray, "B 3"], float]:
    """Return centres of the workspace's cells that no camera has looked into and in which something may stand.

    Those are near known surface: things stand on something. What lies below the lowest surface is left out: nobody can
    look there. Second comes the side of the cells, metres.
    """
    if not len(surface):
        return np.empty((0, 3), np.float32), CELL_M
    low, high = np.array(config.workspace.min_m), np.array(config.workspace.max_m)
    low[2] = max(low[2], float(np.percentile(surface.points[:, 2], 1)))
    cell_m = max(CELL_M, float((high - low).max()) / MAX_CELLS)
    axes = [start + cell_m * (np.arange(max(1, int((end - start) / cell_m))) + 0.5)
            for start, end in zip(low, high, strict=True)]
    centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32)
    near = cKDTree(surface.points).query(centres, distance_upper_bound=HIDING_M)[0] <= HIDING_M
    centres = centres[near]
    for camera, pose in cameras:
        centres = centres[~_looked_into(centres, surface, cell_m, small_camera(camera), pose)]
    return centres, cell_m


def _looked_into(
    centres: Float32[np.ndarray, "C 3"], surface: SurfaceMap, cell_m: float, camera: Intrinsics,
    T_world_cam: Float64[np.ndarray, "4 4"],
) -> Bool[np.ndarray, " C"]:  # fmt: skip
    """Return which cells a camera has seen through, or has seen surface in."""
    depth = splat_depth(surface.points, surface.voxel_m, camera, T_world_cam)
    return in_view(centres, depth, cell_m, camera, T_world_cam)
