# SPDX-License-Identifier: Apache-2.0
"""Things in the surface map by geometry alone: large planes first, then what stays connected without them.

A blob of high relevancy is no object mask (it is as wide as the crops that made it); the thing it lies on is.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from lerf_ros.core.surface import SurfaceMap

MAX_PLANES = 4
HYPOTHESES = 96
SAMPLE = 4000
HORIZONTAL = 0.94
"""Least cosine between a supporting plane's normal and the world's z (20 degrees)."""

MIN_SUPPORT_M2 = 0.05
MIN_PLANE_M2 = 0.15
"""A wall must be larger than a support to count as background: a large box stays an object."""

MIN_OBJECT_M2 = 2e-4
LINK_VOXELS = 1.75
"""Points nearer than this many voxels belong together (a cell and its neighbours across an edge) ..."""

TOUCH_VOXELS = 1.45
SAME_COLOUR = 50.0
"""... but beyond the first only if their colours are this near: two colours with a gap are two things."""

GROWTH_ROUNDS = 12


@dataclass(frozen=True)
class Plane:
    """Points p with normal . p = offset (metres); the unit normal points to the side that was seen."""

    normal: Float64[np.ndarray, " 3"]
    offset: float

    def height(self, points: Float[np.ndarray, "N 3"]) -> Float64[np.ndarray, " N"]:
        """Return signed distances above the plane, metres."""
        return np.asarray(points @ self.normal - self.offset, np.float64)


@dataclass(frozen=True)
class Segments:
    """A partition of the surface points.

    Attributes:
        label: segment of each point in use; -1 for the others and specks.
        body: the same, and the points left out that continue a thing (its sides are often seen by few views).
        planes: the plane of segment k, for the first `len(planes)` segments; the others are objects.
        supports: those of the planes that things can stand on, largest first.
        count: number of segments.
    """

    label: Int32[np.ndarray, " N"]
    body: Int32[np.ndarray, " N"]
    planes: tuple[Plane, ...]
    supports: tuple[Plane, ...]
    count: int

    def is_object(self, segment: int) -> bool:
        """Return whether a segment is a thing, not a table, floor or wall."""
        return segment >= len(self.planes)

    def support_below(self, points: Float[np.ndarray, "N 3"], reach_m: float = 0.15) -> Plane | None:
        """Return the plane that points stand on, None if their lowest is farther than `reach_m` from any.

        Seen from above a thing shows little below its top, hence the long reach.
        """
        gaps = [abs(float(p.height(points).min())) for p in self.supports]
        return self.supports[int(np.argmin(gaps))] if gaps and min(gaps) < reach_m else None


def segment(surface: SurfaceMap, use: Bool[np.ndarray, " N"]) -> Segments:
    """Split the points in `use` into planes and connected things."""
    label = np.full(len(surface), -1, np.int32)
    rest = np.flatnonzero(use)
    planes: list[Plane] = []
    while len(planes) < MAX_PLANES:
        found = _largest_plane(surface.points[rest], surface.normals[rest], surface.voxel_m)
        if found is None:
            break
        plane, inlier = found
        label[rest[inlier]] = len(planes)
        planes.append(plane)
        rest = rest[~inlier]
    things = _components(surface.points[rest], surface.colours[rest].astype(np.float32), surface.voxel_m)
    label[rest] = np.where(things >= 0, things + len(planes), -1)
    body = _grown(label, surface, planes)
    supports = tuple(p for p in planes if p.normal[2] > HORIZONTAL)
    return Segments(label, body, tuple(planes), supports, len(planes) + int(things.max(initial=-1)) + 1)


def _largest_plane(
    points: Float32[np.ndarray, "N 3"], normals: Float32[np.ndarray, "N 3"], voxel_m: float
) -> tuple[Plane, Bool[np.ndarray, " N"]] | None:
    """Return the largest plane that is background and its points; one point and its normal are a hypothesis."""
    if len(points) < 3 or len(points) * voxel_m**2 < MIN_SUPPORT_M2:
        return None
    some = np.linspace(0, len(points) - 1, min(SAMPLE, len(points))).astype(int)
    seeds = some[np.linspace(0, len(some) - 1, min(HYPOTHESES, len(some))).astype(int)]
    axes = normals[seeds]
    distance = np.abs(points[some] @ axes.T - (points[seeds] * axes).sum(axis=1))
    agree = (distance < 2 * voxel_m) & (normals[some] @ axes.T > 0.9)
    share = voxel_m**2 * len(points) / len(some)
    areas = agree.sum(axis=0) * share
    areas[areas < np.where(axes[:, 2] > HORIZONTAL, MIN_SUPPORT_M2, MIN_PLANE_M2)] = 0
    best = int(areas.argmax())
    if areas[best] <= 0:
        return None
    plane = _fit(points[some[agree[:, best]]], axes[best])
    residual = np.abs(plane.height(points))
    noise = 1.4826 * float(np.median(residual[some[agree[:, best]]]))
    inlier = residual < min(max(0.8 * voxel_m, 3 * noise), 2 * voxel_m)
    least = MIN_SUPPORT_M2 if plane.normal[2] > HORIZONTAL else MIN_PLANE_M2
    return (plane, inlier) if _patch_m2(points[inlier], plane, 2 * voxel_m) >= least else None


def _patch_m2(points: Float32[np.ndarray, "N 3"], plane: Plane, cell_m: float) -> float:
    """Return the area of the largest connected patch: two plates of one height are no shelf."""
    across = np.linalg.svd(plane.normal[None])[2][1:]
    cells = np.floor(points @ across.T / cell_m).astype(int)
    cells -= cells.min(axis=0)
    filled = np.zeros(cells.max(axis=0) + 1, np.uint8)
    filled[cells[:, 0], cells[:, 1]] = 1
    sizes = cv2.connectedComponentsWithStats(filled)[2][1:, cv2.CC_STAT_AREA]
    return float(sizes.max()) * cell_m**2


def _fit(points: Float32[np.ndarray, "N 3"], towards: Float32[np.ndarray, " 3"]) -> Plane:
    """Return the least-squares plane, its normal on the side of `towards`."""
    centre = points.mean(axis=0, dtype=np.float64)
    normal = np.linalg.svd(points - centre, full_matrices=False)[2][2]
    normal = normal if normal @ towards > 0 else -normal
    return Plane(normal, float(normal @ centre))


def _components(
    points: Float32[np.ndarray, "N 3"], colours: Float32[np.ndarray, "N 3"], voxel_m: float
) -> Int32[np.ndarray, " N"]:
    """Return a component number for each point, largest component first; -1 for specks."""
    count = len(points)
    if not count:
        return np.zeros(0, np.int32)
    pairs = cKDTree(points).query_pairs(LINK_VOXELS * voxel_m, output_type="ndarray")
    first, second = pairs.T
    near = np.linalg.norm(points[first] - points[second], axis=1) < TOUCH_VOXELS * voxel_m
    pairs = pairs[near | (np.linalg.norm(colours[first] - colours[second], axis=1) < SAME_COLOUR)]
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    size = np.bincount(label)
    order = np.argsort(-size, kind="stable")
    rank = np.empty(len(size), np.int32)
    rank[order] = np.arange(len(size))
    rank[size < max(4, MIN_OBJECT_M2 / voxel_m**2)] = -1
    return np.asarray(rank[label], np.int32)


def _grown(label: Int32[np.ndarray, " N"], surface: SurfaceMap, planes: list[Plane]) -> Int32[np.ndarray, " N"]:
    """Return labels spread from things to unlabelled points off all planes, from neighbour to neighbour."""
    body = label.copy()
    free = label < 0
    for plane in planes:
        free &= np.abs(plane.height(surface.points)) > surface.voxel_m
    open_rows, front = np.flatnonzero(free), np.flatnonzero(label >= len(planes))
    for _ in range(GROWTH_ROUNDS):
        if not len(open_rows) or not len(front):
            break
        distance, nearest = cKDTree(surface.points[front]).query(
            surface.points[open_rows], distance_upper_bound=LINK_VOXELS * surface.voxel_m
        )
        near = np.isfinite(distance)
        body[open_rows[near]] = body[front[nearest[near]]]
        front, open_rows = open_rows[near], open_rows[~near]
    return body
