# SPDX-License-Identifier: Apache-2.0
"""Parts of the map that have changed: connected surface that newer frames contradict, or that appeared."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from lerf_ros.core.focus import Place

LINK_VOXELS = 1.75
"""Points nearer than this many voxels belong together."""

JOIN_M = 0.03
"""Changes nearer than this to each other are one."""

AROUND_M = 0.05
"""Around a changed region older keyframes teach nothing either, for their crops show what has changed; it is relearned
with the region."""


@dataclass
class Region:
    """A change. Mutable; owner: the trainer thread.

    Attributes:
        number: of its own; its points carry it.
        since_ns: stamp of the first frame that showed it.
        low, high: corners of the upright box around its points, metres.
        appeared: something new in free space; else surface that is gone or has another colour.
        sure: enough frames agree.
        renewed_at: training step at which it was last found to reach further.
        recoloured: some of its points have another colour now.
    """

    number: int
    since_ns: int
    appeared: bool
    low: Float64[np.ndarray, " 3"] = field(default_factory=lambda: np.full(3, np.inf))
    high: Float64[np.ndarray, " 3"] = field(default_factory=lambda: np.full(3, -np.inf))
    sure: bool = False
    renewed_at: int = 0
    recoloured: bool = False

    @property
    def mark(self) -> int:
        """What its points carry."""
        return -self.number if self.appeared else self.number

    def take(self, points: Float32[np.ndarray, "N 3"], since_ns: int) -> None:
        """Reach around more points."""
        self.low = np.minimum(self.low, points.min(axis=0))
        self.high = np.maximum(self.high, points.max(axis=0))
        self.since_ns = min(self.since_ns, since_ns)

    def near(self, points: Float32[np.ndarray, "N 3"]) -> bool:
        """Return whether the box around some points comes near its own."""
        gap = np.maximum(self.low - points.max(axis=0), points.min(axis=0) - self.high)
        return bool((gap < JOIN_M).all())

    def place(self) -> Place:
        """Return what is to be relearned; the frame that showed it first shows it as it is now."""
        low, high = (self.low - AROUND_M).tolist(), (self.high + AROUND_M).tolist()
        return Place((low[0], low[1], low[2]), (high[0], high[1], high[2]), self.since_ns - 1)


class Regions:
    """All that has changed and is not relearned yet."""

    def __init__(self) -> None:
        self._all: list[Region] = []
        self._numbers = 0
        self.version = 0

    def __iter__(self) -> Iterator[Region]:
        return iter(tuple(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def of(
        self, points: Float32[np.ndarray, "N 3"], marks: Int64[np.ndarray, " N"], since_ns: int, appeared: bool
    ) -> Region:
        """Return the region that connected points belong to: one whose mark some carry, one near by, or a new one."""
        mine = [region for region in self._all if region.appeared == appeared]
        known = [region for region in mine if (marks == region.mark).any()]
        known = known or [region for region in mine if region.near(points)]
        if known:
            region = known[0]
        else:
            self._numbers += 1
            region = Region(self._numbers, since_ns, appeared)
            self._all.append(region)
        region.take(points, since_ns)
        self.version += 1
        return region

    def end(self, region: Region) -> None:
        """Take a region as relearned, or as never changed."""
        self._all.remove(region)
        self.version += 1


def groups(points: Float32[np.ndarray, "N 3"], voxel_m: float, least: int) -> list[Int64[np.ndarray, " M"]]:
    """Return the rows of each connected group of at least so many points."""
    if len(points) < max(least, 1):
        return []
    first, second = cKDTree(points).query_pairs(LINK_VOXELS * voxel_m, output_type="ndarray").T
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(points), len(points)))
    count, label = connected_components(graph, directed=False)
    sizes = np.bincount(label, minlength=count)
    return [np.flatnonzero(label == k) for k in np.flatnonzero(sizes >= least)]
