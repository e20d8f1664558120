# SPDX-License-Identifier: Apache-2.0
"""Multi-scale image embeddings of a keyframe (LERF section 3.2): where the tiles lie, and what is in them.

A level is a lattice of tile centres; lookups between them (`pyramid_bank`) are trilinear, and beyond the outermost
centres take the nearest. Two kinds of lattice (`pyramid.border`):

- "inside": tiles evenly spaced and inside the image (black borders look like objects to a small encoder);
- "padded": LERF's released code: half a tile of black all round, whole-pixel strides.

And two ways to embed tiles (`pyramid.mode`): "tiles", a crop each; "dense", windows of one pass of the image tower a
level, on the lattice that its feature map gives.

The physical scale of a level at z-depth d is `tile_px * d / fy` metres, `tile_px` linear between levels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, Float16, Float32, Float64, Int32, UInt8

from lerf_ros.config import PyramidConfig
from lerf_ros.core.dense import DenseEncoder
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.errors import EncoderError

MIN_TILE_PX = 8
"""Smaller crops hold nothing to recognise and would blow the image up without bound."""

WHOLE = 1e-6
"""What a product may lack of a whole number of pixels."""


@dataclass(frozen=True)
class TileGrid:
    """Where the tiles of every level lie: a lattice of `nx` x `ny` centres each. Pixels; integers are pixel centres.

    Attributes:
        width, height: of the image.
        tile_px: side of a tile, a level.
        nx, ny: tiles along x and y, a level.
        offset: index of a level's first tile; tiles of a level are row-major.
        first_px: x, y of a level's first tile centre.
        span_px: x, y distance from a level's first to its last centre; anything positive where there is only one.
    """

    width: int
    height: int
    tile_px: Int32[np.ndarray, " L"]
    nx: Int32[np.ndarray, " L"]
    ny: Int32[np.ndarray, " L"]
    offset: Int32[np.ndarray, " L"]
    first_px: Float64[np.ndarray, "L 2"]
    span_px: Float64[np.ndarray, "L 2"]

    @property
    def tiles(self) -> int:
        """Number of tiles of all levels."""
        return int((self.nx * self.ny).sum())

    @property
    def stride_px(self) -> Float64[np.ndarray, "L 2"]:
        """Distance x, y between a level's neighbouring centres, pixels."""
        return np.asarray(self.span_px / np.maximum(np.stack([self.nx, self.ny], axis=1) - 1, 1))

    @property
    def levels(self) -> int:
        """Number of tile sizes."""
        return len(self.tile_px)


@dataclass(frozen=True)
class FeaturePyramid(TileGrid):
    """The tiles of one keyframe and the unit embedding of each (T tiles, in the order of the grid)."""

    features: Float16[np.ndarray, "T D"]

    def without_embeddings(self) -> "FeaturePyramid":
        """Return the same tiles with no features at all."""
        return replace(self, features=np.empty((0, self.features.shape[1]), np.float16))


def tile_grid(width: int, height: int, config: PyramidConfig) -> TileGrid:
    """Return the tiles of an image: sizes linear between the configured shares of its height.

    The stride is LERF's: one tile at a share of 0.05, falling linearly to half a tile at 0.15 and above.
    """
    return (_padded_grid if config.border == "padded" else _inside_grid)(width, height, config)


def _inside_grid(width: int, height: int, config: PyramidConfig) -> TileGrid:
    """Shrink the strides so that tiles end exactly at the image's edge."""
    shares = np.linspace(config.min_tile, config.max_tile, config.levels)
    smallest = min(MIN_TILE_PX, width, height)
    tile = np.clip(np.round(shares * height).astype(int), smallest, min(width, height))
    stride = tile * _stride_share(shares)
    nx, ny = (np.ceil((side - tile) / stride - 1e-9).astype(np.int32) + 1 for side in (width, height))
    first, span = (tile - 1) / 2, np.array([[width, height]]) - tile[:, None]
    return _grid((width, height), tile, nx, ny, np.stack([first, first], axis=1), span)


def _padded_grid(width: int, height: int, config: PyramidConfig) -> TileGrid:
    """As LERF's released code: sides and strides cut to whole pixels, tiles over an image with k // 2 all round.

    Cut after exact arithmetic (0.2 x 540 is 108). The code's float32 shares lie a hair beside the decimal ones, which
    takes a pixel off where a product is whole: its smallest tiles of 36 then come every 35 pixels, not 36.
    """
    shares = np.linspace(config.min_tile, config.max_tile, config.levels)
    tile = np.maximum((shares * height + WHOLE).astype(int), 1)
    stride = np.maximum((tile * _stride_share(shares) + WHOLE).astype(int), 1)
    border = tile // 2
    nx, ny = (((side + 2 * border - tile) // stride + 1).astype(np.int32) for side in (width, height))
    first, span = (tile - 1) / 2 - border, np.stack([nx - 1, ny - 1], axis=1) * stride[:, None]
    return _grid((width, height), tile, nx, ny, np.stack([first, first], axis=1), span)


def _stride_share(shares: Float[np.ndarray, " L"]) -> Float[np.ndarray, " L"]:
    return np.asarray(1.0 - 0.5 * np.clip((shares - 0.05) / 0.10, 0.0, 1.0))


def _grid(
    size: tuple[int, int], tile: np.ndarray, nx: np.ndarray, ny: np.ndarray, first: np.ndarray, span: np.ndarray
) -> TileGrid:
    offset = np.concatenate([[0], np.cumsum(nx * ny)[:-1]]).astype(np.int32)
    return TileGrid(*size, tile.astype(np.int32), nx, ny, offset, first, np.maximum(span, 1).astype(float))


def build_pyramid(encoder: ImageTextEncoder, rgb: UInt8[np.ndarray, "H W 3"], config: PyramidConfig) -> FeaturePyramid:
    """Embed every tile of an image. The slow part of mapping: hundreds of crops, or one pass a level.

    Raises:
        EncoderError: the encoder gave something unusable, or has no dense features where the configuration wants them.
    """
    grid = tile_grid(rgb.shape[1], rgb.shape[0], config)
    if config.mode == "dense":
        return _dense_pyramid(encoder, rgb, grid, config)
    cut = _padded_crops if config.border == "padded" else _crops
    # All at once: full batches, and always the same few shapes (oneDNN keeps a compiled primitive for every one).
    crops = np.concatenate([cut(rgb, grid, level, encoder.image_size) for level in range(grid.levels)])
    return _pyramid(encoder, grid, [encoder.encode_images(crops)])


def check_encoder(encoder: ImageTextEncoder, config: PyramidConfig) -> None:
    """Refuse, before the first image comes, an encoder that cannot be used in the configured mode.

    Raises:
        EncoderError: it has no dense features where the configuration wants them.
    """
    side = encoder.image_size
    if config.mode == "dense":
        build_pyramid(encoder, np.full((side, side, 3), 127, np.uint8), config)


def _pyramid(encoder: ImageTextEncoder, grid: TileGrid, features: list[Float32[np.ndarray, "_ _"]]) -> FeaturePyramid:
    """Join the levels' embeddings.

    Raises:
        EncoderError: they are not one finite embedding of the encoder's width a tile.
    """
    wrong = {f.shape[1] for f in features} - {encoder.embed_dim}
    if wrong:
        raise EncoderError(f"{encoder.name} says embeddings are {encoder.embed_dim} wide but gives {wrong.pop()}")
    joined = np.concatenate(features).astype(np.float16)
    if len(joined) != grid.tiles or not np.isfinite(joined).all():
        raise EncoderError(f"{encoder.name} gives {len(joined)} embeddings for {grid.tiles} crops, or not finite ones")
    return FeaturePyramid(**vars(grid), features=joined)


def _dense_pyramid(
    encoder: ImageTextEncoder, rgb: UInt8[np.ndarray, "H W 3"], grid: TileGrid, config: PyramidConfig
) -> FeaturePyramid:
    """Embed windows of the sizes of `grid`'s tiles, on lattices of the encoder's own."""
    if not isinstance(encoder, DenseEncoder):
        raise EncoderError(f"{encoder.name} has no dense features: set pyramid.mode to 'tiles'")
    borders = grid.tile_px // 2 if config.border == "padded" else np.zeros_like(grid.tile_px)
    levels = [
        encoder.encode_dense(_with_border(rgb, int(border)) if border else rgb, int(tile))
        for tile, border in zip(grid.tile_px, borders, strict=True)
    ]
    ny, nx = np.array([level.features.shape[:2] for level in levels], np.int32).T
    first = np.stack([level.first_px for level in levels]) - borders[:, None]
    span = np.stack([level.stride_px for level in levels]) * np.stack([nx - 1, ny - 1], axis=1)
    dense = _grid((grid.width, grid.height), grid.tile_px, nx, ny, first, span)
    return _pyramid(encoder, dense, [level.features.reshape(-1, level.features.shape[2]) for level in levels])


def _with_border(rgb: UInt8[np.ndarray, "H W 3"], border: int) -> UInt8[np.ndarray, "h w 3"]:
    return np.pad(rgb, ((border, border), (border, border), (0, 0)))


def _padded_crops(
    rgb: UInt8[np.ndarray, "H W 3"], grid: TileGrid, level: int, side: int
) -> UInt8[np.ndarray, "N S S 3"]:
    """Cut a level's tiles out of the image with its black border at whole pixels, and resize each."""
    tile = int(grid.tile_px[level])
    image = _with_border(rgb, tile // 2)
    how = cv2.INTER_AREA if side < tile else cv2.INTER_CUBIC
    crops = (image[y : y + tile, x : x + tile] for y, x in _corners(grid, level))
    return np.stack([cv2.resize(crop, (side, side), interpolation=how) for crop in crops])


def _corners(grid: TileGrid, level: int) -> Iterator[tuple[int, int]]:
    """Yield row and column of each tile's first pixel in the image with its border, row-major."""
    step = round(grid.stride_px[level].max())
    for j in range(int(grid.ny[level])):
        for i in range(int(grid.nx[level])):
            yield j * step, i * step


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
