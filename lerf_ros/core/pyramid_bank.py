# SPDX-License-Identifier: Apache-2.0
"""All keyframes' pyramids in one array, and trilinear lookup across them (LERF section 3.2)."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float16, Float32, Int64
from numba import njit

from lerf_ros.core.pyramid import FeaturePyramid


class PyramidBank:
    """All keyframes' pyramids in one array, for lookups across keyframes. Owner: the trainer thread."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._rows: list[tuple[int, int]] = []  # first row and row count, a slot
        self._free_slots: list[int] = []
        self._free_rows: list[tuple[int, int]] = []
        self._used = 0
        self._features = np.zeros((0, 0), np.float16)
        self._grids = np.zeros((0, 3, 0), np.int32)  # nx, ny, first row of each level
        self._lattices = np.zeros((0, 4, 0))  # first centre x, y, distance to the last x, y
        self._tiles = np.zeros((0, 0), np.float32)  # side of a tile of each level, pixels

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def levels(self) -> int:
        """Levels of the pyramids, the same for all; 0 while there are none."""
        return int(self._tiles.shape[1])

    @property
    def nbytes(self) -> int:
        """Memory that it takes, bytes."""
        return self._features.nbytes + self._grids.nbytes + self._lattices.nbytes + self._tiles.nbytes

    def slot(self, keyframe_id: int) -> int:
        """Return the slot a keyframe's pyramid lies in, as `lookup` takes it.

        Raises:
            KeyError: no such keyframe.
        """
        return self._slots[keyframe_id]

    def features(self, keyframe_id: int) -> Float16[np.ndarray, "T D"]:
        """Return a copy of a keyframe's embeddings.

        Raises:
            KeyError: no such keyframe.
        """
        row, count = self._rows[self._slots[keyframe_id]]
        return self._features[row : row + count].copy()

    def add(self, keyframe_id: int, pyramid: FeaturePyramid) -> int:
        """Copy a pyramid in and return its slot.

        Raises:
            ValueError: the keyframe is there already, or levels or embedding size differ from those there.
        """
        if keyframe_id in self._slots:
            raise ValueError(f"keyframe {keyframe_id} is in the bank already")
        count, dim = pyramid.features.shape
        if len(self._rows) and (dim, pyramid.levels) != (self._features.shape[1], self._grids.shape[2]):
            raise ValueError(f"a pyramid of {pyramid.levels} levels x {dim} does not fit the bank's "
                             f"{self._grids.shape[2]} levels x {self._features.shape[1]}")
        if count != pyramid.tiles:
            raise ValueError(f"keyframe {keyframe_id} has {count} embeddings for {pyramid.tiles} tiles")
        row = self._take_rows(count, dim)
        slot = self._free_slots.pop() if self._free_slots else len(self._rows)
        if slot == len(self._rows):
            self._rows.append((0, 0))
            self._grids = _with_rows(self._grids, slot + 1, (3, pyramid.levels))
            self._lattices = _with_rows(self._lattices, slot + 1, (4, pyramid.levels))
            self._tiles = _with_rows(self._tiles, slot + 1, (pyramid.levels,))
        self._rows[slot] = (row, count)
        self._features[row : row + count] = pyramid.features
        self._grids[slot] = pyramid.nx, pyramid.ny, row + pyramid.offset
        self._lattices[slot] = *pyramid.first_px.T, *pyramid.span_px.T
        self._tiles[slot] = pyramid.tile_px
        self._slots[keyframe_id] = slot
        return slot

    def remove(self, keyframe_id: int) -> None:
        """Free a keyframe's place. Slots of the others stay as they are.

        Raises:
            KeyError: no such keyframe.
        """
        slot = self._slots.pop(keyframe_id)
        self._free_slots.append(slot)
        self._free_rows.append(self._rows[slot])

    def lookup(
        self,
        slot: Int64[np.ndarray, " B"],
        u: Float[np.ndarray, " B"],
        v: Float[np.ndarray, " B"],
        level: Float[np.ndarray, " B"],
    ) -> Float32[np.ndarray, "B D"]:
        """Interpolate embeddings at pixels (u, v; integers are centres) and fractional levels, trilinearly.

        As in LERF the result is not renormalised: its length tells how much the neighbours agree.
        """
        out = np.zeros((len(slot), self._features.shape[1]), np.float32)
        f32 = np.float32
        _lookup(self._features.view(np.uint16), self._grids, self._lattices, np.asarray(slot, np.int64),
                u.astype(f32), v.astype(f32), level.astype(f32), out)
        return out

    def tile_px(
        self, slot: Int64[np.ndarray, " B"], level: Float32[np.ndarray, " B"]
    ) -> Float32[np.ndarray, " B"]:
        """Return the side of a tile in pixels at fractional levels of the pyramids in `slot`: linear between levels."""
        low = np.minimum(level.astype(np.int64), self.levels - 2)
        share = level - low
        tiles = self._tiles
        return np.asarray(tiles[slot, low] * (1 - share) + tiles[slot, low + 1] * share, np.float32)

    def _take_rows(self, count: int, dim: int) -> int:
        """Return the first of `count` free rows, reusing a removed pyramid's if it fits exactly."""
        for k, (row, free) in enumerate(self._free_rows):
            if free == count:
                del self._free_rows[k]
                return row
        row = self._used
        self._used += count
        self._features = _with_rows(self._features, self._used, (dim,))
        return row


def _with_rows(array: np.ndarray, rows: int, tail: tuple[int, ...]) -> np.ndarray:
    """Return `array` with so many rows: lengthened in place, or a new one if it has no rows of that shape yet.

    The system moves pages of large arrays instead of copying them, so there are neither spare rows nor two copies.
    """
    if array.shape[1:] != tail:
        return np.zeros((rows, *tail), array.dtype)
    array.resize((rows, *tail), refcheck=False)  # nobody else holds it: views are made for one lookup and dropped
    return array


@njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _lookup(
    features: np.ndarray, grids: np.ndarray, lattices: np.ndarray, slot: np.ndarray, u: np.ndarray, v: np.ndarray,
    level: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Accumulate the eight neighbours. numba has no float16: its bits become a float32 by shifting, times 2^112."""
    dim, last = features.shape[1], grids.shape[2] - 1
    bits = np.zeros(dim, np.uint32)
    value = bits.view(np.float32)
    sign, rest, thirteen, sixteen = np.uint32(0x8000), np.uint32(0x7FFF), np.uint32(13), np.uint32(16)
    for n in range(slot.shape[0]):
        s = slot[n]
        height_level = min(max(level[n], 0.0), float(last))
        low = min(int(height_level), max(last - 1, 0))
        for a in range(2):
            lv = min(low + a, last)
            wl = height_level - low if a == 1 else 1.0 - (height_level - low)
            if wl <= 0.0:
                continue
            nx, ny = grids[s, 0, lv], grids[s, 1, lv]
            gx = (u[n] - lattices[s, 0, lv]) / lattices[s, 2, lv] * (nx - 1)
            gy = (v[n] - lattices[s, 1, lv]) / lattices[s, 3, lv] * (ny - 1)
            gx, gy = min(max(gx, 0.0), nx - 1.0), min(max(gy, 0.0), ny - 1.0)
            x0, y0 = min(int(gx), max(nx - 2, 0)), min(int(gy), max(ny - 2, 0))
            for c in range(4):
                x, y = x0 + (c & 1), y0 + (c >> 1)
                w = wl * (gx - x0 if c & 1 else 1.0 - gx + x0) * (gy - y0 if c >> 1 else 1.0 - gy + y0)
                if w <= 0.0:
                    continue
                row = features[grids[s, 2, lv] + y * nx + x]
                for d in range(dim):
                    h = np.uint32(row[d])
                    bits[d] = ((h & sign) << sixteen) | ((h & rest) << thirteen)
                factor = np.float32(w * 2.0**112)
                for d in range(dim):
                    out[n, d] += factor * value[d]
