# SPDX-License-Identifier: Apache-2.0
"""Where to look along a ray: around the measured surface, or by the density already learned.

The density grid plays the part of nerfacto's proposal network: a coarse table of the field's own density, looked up in
many bins along the ray, from whose weights the few samples the field is evaluated at are drawn (NeRF section 5.2).
"""

from typing import Any, no_type_check

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32
from numba import njit

from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.rays import RayBundle

Array = npt.NDArray[Any]
_jit = njit(nogil=True, fastmath=True, cache=True)
BINS = 128
FREE_SHARE = 0.25
UNIFORM_SHARE = 0.05


class DensityGrid:
    """Decaying maximum of the field's density [1/m] on a coarse grid over the contracted unit cube."""

    def __init__(self, box: SceneBox, resolution: int, initial: float) -> None:
        self.box = box
        self.resolution = resolution
        self.values = np.full((resolution, resolution, resolution), initial, np.float32)

    def draw_cells(self, count: int, rng: np.random.Generator) -> tuple[Array, Float32[np.ndarray, "N 3"]]:
        """Return random cells (flat indices, half of them among the denser ones) and a random unit point in each."""
        flat = self.values.reshape(-1)
        cells = rng.integers(0, len(flat), count)
        rivals = rng.integers(0, len(flat), count // 2)
        cells[: count // 2] = np.where(flat[rivals] > flat[cells[: count // 2]], rivals, cells[: count // 2])
        ijk = np.stack(np.unravel_index(cells, self.values.shape), axis=-1)
        return cells, ((ijk + rng.random((count, 3))) / self.resolution).astype(np.float32)

    def update(self, cells: Array, density: Float32[np.ndarray, " N"], decay: float = 0.8) -> None:
        """Move the given cells towards the density found in them: max(decayed, found)."""
        flat = self.values.reshape(-1)
        flat[cells] *= np.float32(decay)
        np.maximum.at(flat, cells, density)


@_jit
@no_type_check
def _grid_density(values: Array, centre: Array, half: np.float32, x: np.float32, y: np.float32, z: np.float32) -> float:
    """Density of the cell that holds a world point."""
    n = values.shape[0]
    x = (x - centre[0]) / half
    y = (y - centre[1]) / half
    z = (z - centre[2]) / half
    norm = max(abs(x), abs(y), abs(z), np.float32(1.0))
    k = (2 - 1 / norm) / norm / 4
    i = min(max(int((x * k + 0.5) * n), 0), n - 1)
    j = min(max(int((y * k + 0.5) * n), 0), n - 1)
    m = min(max(int((z * k + 0.5) * n), 0), n - 1)
    return float(values[i, j, m])


@_jit
@no_type_check
def _sample_grid(
    origins: Array,
    directions: Array,
    edges: Array,
    values: Array,
    centre: Array,
    half: np.float32,
    jitter: Array,
    t: Array,
) -> None:
    """Draw sorted distances by inverse CDF of the weights that the density grid gives to the bins of each ray."""
    bins = edges.shape[0] - 1
    samples = t.shape[1]
    weight = np.empty(bins, np.float32)
    pdf = np.empty(bins, np.float32)
    for b in range(origins.shape[0]):
        through = np.float32(1.0)
        for i in range(bins):
            mid = (edges[i] + edges[i + 1]) * np.float32(0.5)
            sigma = _grid_density(
                values, centre, half, origins[b, 0] + directions[b, 0] * mid, origins[b, 1] + directions[b, 1] * mid,
                origins[b, 2] + directions[b, 2] * mid,
            )  # fmt: skip
            alpha = 1 - np.exp(-sigma * (edges[i + 1] - edges[i]))
            weight[i] = through * alpha
            through *= 1 - alpha
        # The largest of a bin and its neighbours (mip-NeRF 360 section 5): a surface at a bin's edge is not missed.
        total = np.float32(0.0)
        for i in range(bins):
            pdf[i] = max(weight[max(i - 1, 0)], weight[i], weight[min(i + 1, bins - 1)])
            total += pdf[i]
        floor = (total + np.float32(1e-6)) * np.float32(UNIFORM_SHARE) / bins
        total += floor * bins
        i = 0
        cdf = np.float32(0.0)
        for s in range(samples):
            target = (s + jitter[b, s]) / samples * total
            while i < bins - 1 and cdf + pdf[i] + floor < target:
                cdf += pdf[i] + floor
                i += 1
            inside = min(max((target - cdf) / (pdf[i] + floor), np.float32(0.0)), np.float32(1.0))
            t[b, s] = edges[i] + inside * (edges[i + 1] - edges[i])


def sample_by_density(
    rays: RayBundle,
    grid: DensityGrid,
    near_m: float,
    far_m: float,
    jitter: Float32[np.ndarray, "B S"],
    workers: Workers,
) -> Float32[np.ndarray, "B S"]:
    """Return sorted distances (m) drawn where the density grid expects the ray to end; `jitter` in [0, 1)."""
    edges = np.geomspace(near_m, far_m, BINS + 1).astype(np.float32)
    t = np.empty(jitter.shape, np.float32)
    half = np.float32(grid.box.half_m)
    workers.run(
        _sample_grid,
        [(rays.origins[s], rays.directions[s], edges, grid.values, grid.box.centre, half, jitter[s], t[s])
         for s in workers.spans(len(rays))],
    )  # fmt: skip
    return t


def sample_by_depth(
    surface_t: Float32[np.ndarray, " B"],
    band_m: Float32[np.ndarray, " B"],
    near_m: float,
    jitter: Float32[np.ndarray, "B S"],
) -> Float32[np.ndarray, "B S"]:
    """Return sorted distances (m): a quarter stratified over the free space in front, the rest across the band
    `surface_t` +- `band_m` around the measured surface."""
    samples = jitter.shape[1]
    free = max(int(samples * FREE_SHARE), 1)
    start = np.maximum(surface_t - band_m, near_m)[:, None]
    u_free = (np.arange(free, dtype=np.float32) + jitter[:, :free]) / free
    u_band = (np.arange(samples - free, dtype=np.float32) + jitter[:, free:]) / (samples - free)
    end = (surface_t + band_m)[:, None]
    return np.concatenate(
        [near_m + u_free * (start - near_m), start + u_band * (end - start)], axis=1, dtype=np.float32
    )
