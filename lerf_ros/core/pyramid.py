# SPDX-License-Identifier: Apache-2.0
"""Multi-scale image embeddings of a keyframe (LERF section 3.2), and their trilinear lookup for many keyframes at once.

A tile of a level is a square of `tile_px` pixels. Tiles are evenly spaced and stay inside the image (no padding: black
borders look like objects to a small encoder); beyond the outermost tile centres a lookup takes the nearest one.

The physical scale of a level at z-depth d is `tile_px * d / fy` metres, `tile_px` linear between levels.
"""

import math
from dataclasses import dataclass
from typing import no_type_check

import cv2
import numpy as np
from jaxtyping import Float, Float16, Float32, Int32, Int64, UInt8
from numba import njit

from lerf_ros.config import PyramidConfig
from lerf_ros.core.encoders import ImageTextEncoder

MIN_TILE_PX = 8
"""Smaller crops hold nothing to recognise and would blow the image up without bound."""


@dataclass(frozen=True)
class TileGrid:
    """Where the tiles of every level lie: `nx` x `ny` squares of `tile_px`, spread evenly from edge to edge.

    Attributes:
        width, height: of the image, pixels.
        tile_px: side of a tile, a level.
        nx, ny: tiles along x and y, a level.
        offset: index of a level's first tile; tiles of a level are row-major.
    """

    width: int
    height: int
    tile_px: Int32[np.ndarray, " L"]
    nx: Int32[np.ndarray, " L"]
    ny: Int32[np.ndarray, " L"]
    offset: Int32[np.ndarray, " L"]

    @property
    def tiles(self) -> int:
        """Number of tiles of all levels."""
        return int((self.nx * self.ny).sum())


    @property
    def levels(self) -> int:
        """Number of tile sizes."""
        return len(self.tile_px)

    def tile_px_at(self, level: Float[np.ndarray, " B"]) -> Float32[np.ndarray, " B"]:
        """Return the tile side in pixels at fractional levels."""
        return np.asarray(np.interp(level, np.arange(self.levels), self.tile_px), np.float32)


@dataclass(frozen=True)
class FeaturePyramid(TileGrid):
    """The tiles of one keyframe and the unit embedding of each (T tiles, in the order of the grid)."""

    features: Float16[np.ndarray, "T D"]


def tile_grid(width: int, height: int, config: PyramidConfig) -> TileGrid:
    """Return the tiles of an image: sizes linear between the configured shares of its height.

    The stride is LERF's: one tile at a share of 0.05, falling linearly to half a tile at 0.15 and above; then shrunk
    so that tiles end exactly at the image's edge.
    """
    shares = np.linspace(config.min_tile, config.max_tile, config.levels)
    smallest = min(MIN_TILE_PX, width, height)
    tile = np.clip(np.round(shares * height).astype(int), smallest, min(width, height))
    stride = tile * (1.0 - 0.5 * np.clip((shares - 0.05) / 0.10, 0.0, 1.0))
    nx = np.ceil((width - tile) / stride - 1e-9).astype(np.int32) + 1
    ny = np.ceil((height - tile) / stride - 1e-9).astype(np.int32) + 1
    offset = np.concatenate([[0], np.cumsum(nx * ny)[:-1]]).astype(np.int32)
    return TileGrid(width, height, tile.astype(np.int32), nx, ny, offset)


def build_pyramid(encoder: ImageTextEncoder, rgb: UInt8[np.ndarray, "H W 3"], config: PyramidConfig) -> FeaturePyramid:
    """Embed every tile of an image. The slow part of mapping: hundreds of crops.

    Raises:
        EncoderError: the encoder gave something unusable.
    """
    grid = tile_grid(rgb.shape[1], rgb.shape[0], config)
    features = [encoder.encode_images(_crops(rgb, grid, level, encoder.image_size)) for level in range(len(grid.nx))]
    return FeaturePyramid(**vars(grid), features=np.concatenate(features).astype(np.float16))


def _crops(rgb: UInt8[np.ndarray, "H W 3"], grid: TileGrid, level: int, side: int) -> UInt8[np.ndarray, "N S S 3"]:
    """Cut a level's tiles, each resized to `side`: the image is resized once, then sliced."""
    scale = side / int(grid.tile_px[level])
    width, height = max(round(grid.width * scale), side), max(round(grid.height * scale), side)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(rgb, (width, height), interpolation=how))
    nx, ny = int(grid.nx[level]), int(grid.ny[level])
    xs = np.linspace(0, width - side, nx).round().astype(int)
    ys = np.linspace(0, height - side, ny).round().astype(int)
    out = np.empty((ny, nx, side, side, 3), np.uint8)
    for j, y in enumerate(ys):
        for i, x in enumerate(xs):
            out[j, i] = image[y : y + side, x : x + side]
    return out.reshape(-1, side, side, 3)


class PyramidBank:
    """All keyframes' pyramids in one array, for lookups across keyframes. Owner: the trainer thread."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._rows: list[tuple[int, int]] = []  # first row and row count, a slot
        self._free_slots: list[int] = []
        self._free_rows: list[tuple[int, int]] = []
        self._used = 0
        self._features = np.zeros((0, 0), np.float16)
        self._sizes = np.zeros((0, 2), np.int32)
        self._grids = np.zeros((0, 4, 0), np.int32)  # tile_px, nx, ny, first row of each level

    def __len__(self) -> int:
        return len(self._slots)

    def slot(self, keyframe_id: int) -> int:
        """Return the slot a keyframe's pyramid lies in, as `lookup` takes it.

        Raises:
            KeyError: no such keyframe.
        """
        return self._slots[keyframe_id]

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
        row = self._take_rows(count, dim)
        slot = self._free_slots.pop() if self._free_slots else len(self._rows)
        if slot == len(self._rows):
            self._rows.append((0, 0))
            self._sizes = _grown(self._sizes, slot + 1, (2,))
            self._grids = _grown(self._grids, slot + 1, (4, pyramid.levels))
        self._rows[slot] = (row, count)
        self._features[row : row + count] = pyramid.features
        self._sizes[slot] = pyramid.width, pyramid.height
        self._grids[slot] = pyramid.tile_px, pyramid.nx, pyramid.ny, row + pyramid.offset
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
        _lookup(self._features.view(np.uint16), self._sizes, self._grids, np.asarray(slot, np.int64),
                u.astype(f32), v.astype(f32), level.astype(f32), out)
        return out

    def _take_rows(self, count: int, dim: int) -> int:
        """Return the first of `count` free rows, reusing a removed pyramid's if it fits exactly."""
        for k, (row, free) in enumerate(self._free_rows):
            if free == count:
                del self._free_rows[k]
                return row
        row = self._used
        self._used += count
        self._features = _grown(self._features, self._used, (dim,))
        return row


def _grown(array: np.ndarray, rows: int, tail: tuple[int, ...]) -> np.ndarray:
    """Return `array`, or a copy with room for at least `rows` rows (half as much again, so growing is cheap)."""
    if len(array) >= rows and array.shape[1:] == tail:
        return array
    out = np.zeros((max(rows, math.ceil(1.5 * len(array))), *tail), array.dtype)
    if array.shape[1:] == tail:
        out[: len(array)] = array
    return out


@njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _lookup(
    features: np.ndarray, sizes: np.ndarray, grids: np.ndarray, slot: np.ndarray, u: np.ndarray, v: np.ndarray,
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
            tile, nx, ny = grids[s, 0, lv], grids[s, 1, lv], grids[s, 2, lv]
            gx = (u[n] + 0.5 - 0.5 * tile) / max(sizes[s, 0] - tile, 1) * (nx - 1)
            gy = (v[n] + 0.5 - 0.5 * tile) / max(sizes[s, 1] - tile, 1) * (ny - 1)
            gx, gy = min(max(gx, 0.0), nx - 1.0), min(max(gy, 0.0), ny - 1.0)
            x0, y0 = min(int(gx), max(nx - 2, 0)), min(int(gy), max(ny - 2, 0))
            for c in range(4):
                x, y = x0 + (c & 1), y0 + (c >> 1)
                w = wl * (gx - x0 if c & 1 else 1.0 - gx + x0) * (gy - y0 if c >> 1 else 1.0 - gy + y0)
                if w <= 0.0:
                    continue
                row = features[grids[s, 3, lv] + y * nx + x]
                for d in range(dim):
                    h = np.uint32(row[d])
                    bits[d] = ((h & sign) << sixteen) | ((h & rest) << thirteen)
                factor = np.float32(w * 2.0**112)
                for d in range(dim):
                    out[n, d] += factor * value[d]
