# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from lerf_ros.config import PyramidConfig
from lerf_ros.core.calibration import Calibration
from lerf_ros.core.encoders import OpenClipEncoder
from lerf_ros.core.pyramid import build_pyramid, tile_grid
from lerf_ros.errors import EncoderError


class MeanColour:
    """An encoder whose embedding is the crop's mean colour: a tile's place can be read off it."""

    name, sha256, embed_dim, image_size, calibration = "mean colour", "", 3, 64, Calibration()

    def encode_images(self, crops: np.ndarray) -> np.ndarray:
        return crops.astype(np.float32).mean(axis=(1, 2))

    def encode_texts(self, phrases: object) -> np.ndarray:
        raise NotImplementedError


def test_grid_by_hand() -> None:
    # 320 x 240, shares .08 .. .5 in 7 steps of .07: tiles 19.2 36 52.8 69.6 86.4 103.2 120, rounded.
    # Strides: share .08 -> tile x (1 - .5 x .3) = 19 x .85 = 16.15; from .15 on half a tile.
    # nx = ceil((320 - tile) / stride) + 1: (301 / 16.15 = 18.6) 20, (284 / 18 = 15.8) 17, (267 / 26.5 = 10.1) 12 ...
    grid = tile_grid(320, 240, PyramidConfig())
    assert grid.tile_px.tolist() == [19, 36, 53, 70, 86, 103, 120]
    assert grid.nx.tolist() == [20, 17, 12, 9, 7, 6, 5]
    assert grid.ny.tolist() == [15, 13, 9, 6, 5, 4, 3]
    assert grid.offset.tolist() == [0, 300, 521, 629, 683, 718, 742]
    assert grid.tiles == 757


def test_stride_rule_ends() -> None:
    # LERF: at share .05 tiles touch (stride = tile), at .15 and above they overlap by half.
    grid = tile_grid(400, 400, PyramidConfig(min_tile=0.05, max_tile=0.25, levels=3))
    assert grid.tile_px.tolist() == [20, 60, 100]
    assert grid.nx.tolist() == [20, 13, 7]  # 380/20 + 1, ceil(340/30) + 1, 300/50 + 1


def test_tall_and_tiny_images_have_a_grid() -> None:
    tall = tile_grid(30, 400, PyramidConfig())
    assert tall.tile_px.max() == 30
    assert tall.nx.tolist()[-1] == 1
    tiny = tile_grid(5, 4, PyramidConfig())
    assert (tiny.tile_px == 4).all()


def test_tile_features_are_of_the_right_places() -> None:
    # Colour encodes position: red = column, green = row. A tile's mean colour is then its centre.
    v, u = np.mgrid[0:240, 0:320]
    rgb = np.stack([u * 0.75, v, np.zeros_like(u)], axis=-1).astype(np.uint8)
    pyramid = build_pyramid(MeanColour(), rgb, PyramidConfig())
    for level in (0, 3, 6):
        tile, nx, ny = pyramid.tile_px[level], pyramid.nx[level], pyramid.ny[level]
        found = pyramid.features[pyramid.offset[level] :][: nx * ny].astype(float).reshape(ny, nx, 3)
        centres = np.linspace(0, 320 - tile, nx) + (tile - 1) / 2
        np.testing.assert_allclose(found[:, :, 0].mean(axis=0), centres * 0.75, atol=1.5)
        centres = np.linspace(0, 240 - tile, ny) + (tile - 1) / 2
        np.testing.assert_allclose(found[:, :, 1].mean(axis=1), centres, atol=1.5)


def test_shared_resizing_gives_nearly_the_crop_by_crop_embeddings(encoder: OpenClipEncoder) -> None:
    rng = np.random.default_rng(0)
    rgb = cv2.resize(rng.integers(0, 255, (12, 16, 3)).astype(np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    pyramid = build_pyramid(encoder, rgb, PyramidConfig(min_tile=0.3, max_tile=0.6, levels=2))
    tile, nx, ny = int(pyramid.tile_px[1]), int(pyramid.nx[1]), int(pyramid.ny[1])
    xs, ys = (np.linspace(0, size - tile, n).round().astype(int) for size, n in ((160, nx), (120, ny)))
    tiles = [rgb[y : y + tile, x : x + tile] for y in ys for x in xs]
    single = encoder.encode_images(np.stack([cv2.resize(t, (32, 32), interpolation=cv2.INTER_AREA) for t in tiles]))
    shared = pyramid.features[pyramid.offset[1] :].astype(np.float32)
    assert (single * shared).sum(axis=1).mean() > 0.99


PADDED = PyramidConfig(border="padded", min_tile=0.05, max_tile=0.5, levels=7)
"""The lattice of LERF's released code."""


@pytest.mark.parametrize(
    ("width", "height", "tiles"),
    [
        # k = int(738 x share) = 36 92 147 202 258 313 369; strides int(k x share) = 36 57 73 101 129 156 184
        # nx = (994 + 2 (k // 2) - k) // stride + 1 = 28 18 14 10 8 7 6; ny = 21 13 11 8 6 5 5 likewise
        (994, 738, [588, 234, 154, 80, 48, 35, 30]),
        # k = 49 124 198 273 347 422 497, strides 49 77 99 136 173 211 248 (by the height): nx = 16 10 8 6 5 4 3
        (738, 994, [336, 130, 88, 48, 30, 20, 15]),
        # k = 27 67 108 148 189 229 270 (0.2 x 540 must not become 107), strides 27 41 54 74 94 114 135:
        # nx = 36 24 18 13 11 9 8, ny = 20 14 11 8 6 5 5; odd sides have one pixel less of border
        (960, 540, [720, 336, 198, 104, 66, 45, 40]),
    ],
)
def test_padded_grid_is_that_of_lerf(width: int, height: int, tiles: list[int]) -> None:
    grid = tile_grid(width, height, PADDED)
    assert (grid.nx * grid.ny).tolist() == tiles
    assert grid.tiles == sum(tiles)


def test_padded_centres_and_strides_by_hand() -> None:
    # 994 x 738: even sides of 36 start half a pixel outside (35 / 2 - 18), odd ones of 147 at the first pixel (73 - 73)
    grid = tile_grid(994, 738, PADDED)
    assert grid.tile_px.tolist() == [36, 92, 147, 202, 258, 313, 369]
    assert grid.first_px.tolist() == [[-0.5] * 2, [-0.5] * 2, [0.0] * 2, [-0.5] * 2, [-0.5] * 2, [0.0] * 2, [0.0] * 2]
    assert grid.stride_px.tolist() == [[s, s] for s in (36, 57, 73, 101, 129, 156, 184)]


def test_centres_and_strides_inside_by_hand() -> None:
    # 320 x 240, level 6: tile 120, 5 x 3 tiles: first centre (119 / 2), 200 / 4 and 120 / 2 apart
    grid = tile_grid(320, 240, PyramidConfig())
    assert grid.first_px[6].tolist() == [59.5, 59.5]
    assert grid.stride_px[6].tolist() == [50, 60]
    # 30 wide: a single column
    assert (tile_grid(30, 400, PyramidConfig()).stride_px > 0).all()


def test_padded_tiles_see_black_beyond_the_image() -> None:
    # 60 x 40 white, tiles of 10 every 5: a corner's tile is a quarter image, a border's a half
    config = PyramidConfig(border="padded", min_tile=0.25, max_tile=0.5, levels=2)
    pyramid = build_pyramid(MeanColour(), np.full((40, 60, 3), 255, np.uint8), config)
    level = pyramid.features[:117, 0].astype(float).reshape(9, 13)
    assert pyramid.offset.tolist() == [0, 117]
    np.testing.assert_allclose(level[[0, 0, -1, -1], [0, -1, 0, -1]], 255 / 4, atol=2)
    np.testing.assert_allclose(level[0, 1:-1], 255 / 2, atol=2)
    np.testing.assert_allclose(level[1:-1, 1:-1], 255)


def test_padded_tile_features_are_of_the_right_places() -> None:
    v, u = np.mgrid[0:240, 0:320]
    rgb = np.stack([u * 0.75, v, np.zeros_like(u)], axis=-1).astype(np.uint8)
    pyramid = build_pyramid(MeanColour(), rgb, PADDED)
    for level in (0, 3, 6):
        nx, ny = pyramid.nx[level], pyramid.ny[level]
        found = pyramid.features[pyramid.offset[level] :][: nx * ny].astype(float).reshape(ny, nx, 3)
        x, y = (pyramid.first_px[level, a] + pyramid.stride_px[level, a] * np.arange(n) for a, n in ((0, nx), (1, ny)))
        half = pyramid.tile_px[level] / 2
        inside = np.ix_(*((c + 0.5 >= half) & (c + 0.5 <= size - half) for c, size in ((y, 240), (x, 320))))
        np.testing.assert_allclose(found[..., 0][inside], np.broadcast_to(x * 0.75, (ny, nx))[inside], atol=1.5)
        np.testing.assert_allclose(found[..., 1][inside], np.broadcast_to(y[:, None], (ny, nx))[inside], atol=1.5)


class Lying(MeanColour):
    """Says its embeddings are five wide."""

    embed_dim = 5


class NotFinite(MeanColour):
    """Gives what no field can be trained on."""

    def encode_images(self, crops: np.ndarray) -> np.ndarray:
        return super().encode_images(crops) * np.nan


@pytest.mark.parametrize(("encoder", "message"), [(Lying(), "5 wide but gives 3"), (NotFinite(), "not finite")])
def test_unusable_embeddings_are_refused(encoder: MeanColour, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        build_pyramid(encoder, np.full((40, 60, 3), 255, np.uint8), PyramidConfig())
