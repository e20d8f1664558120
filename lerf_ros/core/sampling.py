# SPDX-License-Identifier: Apache-2.0
"""Where to look along a ray: around the measured surface, or by the density already learned.

The density grid plays the part of nerfacto's proposal network: a coarse table of the field's own density, looked up in
many bins along the ray, from whose weights the few samples the field is evaluated at are drawn (NeRF section 5.2).
"""

from typing import Any, no_type_check

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Float64
from numba import njit

from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.rays import RayBundle

Array = npt.NDArray[Any]
_jit = njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
BINS = 128
FREE_SHARE = 0.25
UNIFORM_SHARE = 0.05


class DensityGrid:
    """Decaying maximum of the field's density [1/m] on a coarse grid over the contracted unit cube."""

    def __init__(self, box: SceneBox, resolution: int, initial: float) -> None:
        self.box = box
        self.resolution = resolution
        self._initial = initial
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

    def forget(self, low: Float64[np.ndarray, " 3"], high: Float64[np.ndarray, " 3"]) -> None:
        """Set the cells that a box (metres, world) reaches into, as far as it lies in the workspace, to the beginning.
        """
        corners = np.clip((np.stack([low, high]) - self.box.centre) / self.box.half_m, -1, 1) / 4 + 0.5
        first = np.floor(corners[0] * self.resolution).astype(int)
        last = np.maximum(np.ceil(corners[1] * self.resolution).astype(int), first + 1)
        self.values[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = self._initial


@_jit
@no_type_check
def _cells_along(origin: Array, direction: Array, middles: Array, resolution: int, cells: Array) -> None:
    """Write the flat index of the cell at each of the distances `middles`; the ray is in units of the cube's half."""
    side, scale = np.int32(resolution), np.float32(resolution / 4)
    ox, oy, oz = origin[0], origin[1], origin[2]
    dx, dy, dz = direction[0], direction[1], direction[2]
    for i in range(len(middles)):
        x, y, z = ox + dx * middles[i], oy + dy * middles[i], oz + dz * middles[i]
        inverse = np.float32(1) / max(abs(x), abs(y), abs(z), np.float32(1))
        k = (np.float32(2) - inverse) * inverse * scale
        last, zero = np.int32(side - 1), np.int32(0)
        a = min(max(np.int32(x * k + 2 * scale), zero), last)
        b = min(max(np.int32(y * k + 2 * scale), zero), last)
        c = min(max(np.int32(z * k + 2 * scale), zero), last)
        cells[i] = np.int32(np.int32(np.int32(a * side) + b) * side) + c


@_jit
@no_type_check
def _pass(values: Array, cells: Array, widths: Array, clear: Array) -> None:
    """Write the share of light that passes each bin, exp(-density * width), to 1e-6.

    By (1 + u + u^2 / 2 + u^3 / 6)^64 for exp(64 u): as a library's `exp` it would not be vectorised.
    """
    for i in range(len(widths)):
        clear[i] = values[cells[i]]
    for i in range(len(widths)):
        u = min(clear[i] * widths[i], np.float32(60)) / np.float32(64)
        e = np.float32(1) + u * (np.float32(1) + u * (np.float32(0.5) + u * np.float32(1 / 6)))
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        clear[i] = np.float32(1) / e


@_jit
@no_type_check
def _sample_grid(
    origins: Array, directions: Array, edges: Array, values: Array, resolution: int, jitter: Array, t: Array
) -> None:
    """Draw sorted distances by inverse CDF of the weights that the density grid gives to the bins of each ray."""
    bins = edges.shape[0] - 1
    widths = edges[1:] - edges[:-1]
    middles = (edges[1:] + edges[:-1]) * np.float32(0.5)
    cells, clear = np.empty(bins, np.int32), np.empty(bins, np.float32)
    weight, pdf = np.zeros(bins + 2, np.float32), np.empty(bins, np.float32)
    for b in range(origins.shape[0]):
        _cells_along(origins[b], directions[b], middles, resolution, cells)
        _pass(values, cells, widths, clear)
        through = np.float32(1.0)
        for i in range(bins):
            weight[i + 1] = through * (np.float32(1) - clear[i])
            through *= clear[i]
        # The largest of a bin and its neighbours (mip-NeRF 360 section 5): a surface at a bin's edge is not missed.
        total = np.float32(0.0)
        for i in range(bins):
            pdf[i] = max(weight[i], weight[i + 1], weight[i + 2])
            total += pdf[i]
        floor = (total + np.float32(1e-6)) * np.float32(UNIFORM_SHARE) / np.float32(bins)
        _invert(pdf, floor, total + floor * bins, edges, jitter[b], t[b])


@_jit
@no_type_check
def _invert(pdf: Array, floor: np.float32, total: np.float32, edges: Array, jitter: Array, t: Array) -> None:
    """Draw one distance in each of as many equal shares of the `total` of `pdf + floor` as `t` is long."""
    samples, i = t.shape[0], 0
    cdf = np.float32(0.0)
    for s in range(samples):
        target = (np.float32(s) + jitter[s]) / np.float32(samples) * total
        while i < pdf.shape[0] - 1 and cdf + pdf[i] + floor < target:
            cdf += pdf[i] + floor
            i += 1
        inside = min(max((target - cdf) / (pdf[i] + floor), np.float32(0.0)), np.float32(1.0))
        t[s] = edges[i] + inside * (edges[i + 1] - edges[i])


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
    origins, directions = (rays.origins - grid.box.centre) / half, rays.directions / half
    flat = grid.values.reshape(-1)
    workers.run(
        _sample_grid,
        [(origins[s], directions[s], edges, flat, grid.resolution, jitter[s], t[s]) for s in workers.spans(len(rays))],
    )
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
