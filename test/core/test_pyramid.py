# SPDX-License-Identifier: Apache-2.0
import dataclasses

import cv2
import numpy as np
import pytest
from tiny_clip_model import DIM

from lerf_ros.config import PyramidConfig
from lerf_ros.core.encoders import Calibration, OpenClipEncoder
from lerf_ros.core.pyramid import FeaturePyramid, build_pyramid, tile_grid
from lerf_ros.core.pyramid_bank import PyramidBank


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


def pyramid_of(width: int, height: int, seed: int, dim: int = DIM) -> FeaturePyramid:
    grid = tile_grid(width, height, PyramidConfig())
    features = np.random.default_rng(seed).normal(size=(grid.tiles, dim)).astype(np.float16)
    return FeaturePyramid(**vars(grid), features=features)


def slow_lookup(pyramid: FeaturePyramid, u: float, v: float, level: float) -> np.ndarray:
    total = np.zeros(pyramid.features.shape[1])
    low = min(int(level), pyramid.levels - 2)
    for lv, weight in ((low, 1 - (level - low)), (low + 1, level - low)):
        tile, nx, ny = (int(a[lv]) for a in (pyramid.tile_px, pyramid.nx, pyramid.ny))
        grid = pyramid.features[pyramid.offset[lv] :][: nx * ny].astype(float).reshape(ny, nx, -1)
        fx = np.interp(u, np.linspace(0, pyramid.width - tile, nx) + (tile - 1) / 2, np.arange(nx))
        fy = np.interp(v, np.linspace(0, pyramid.height - tile, ny) + (tile - 1) / 2, np.arange(ny))
        x, y = min(int(fx), nx - 2), min(int(fy), ny - 2)
        ax, ay = fx - x, fy - y
        top = grid[y, x] * (1 - ax) + grid[y, x + 1] * ax
        bottom = grid[y + 1, x] * (1 - ax) + grid[y + 1, x + 1] * ax
        total += weight * (top * (1 - ay) + bottom * ay)
    return total


def test_lookup_agrees_with_its_slow_twin_over_two_image_sizes() -> None:
    frames = {7: pyramid_of(320, 240, 1), 3: pyramid_of(200, 220, 2)}
    bank = PyramidBank()
    for key, pyramid in frames.items():
        bank.add(key, pyramid)
    rng = np.random.default_rng(3)
    ids = [int(k) for k in rng.choice([7, 3], 200)]
    u = np.array([rng.uniform(-2, frames[k].width + 1) for k in ids])  # beyond the borders too: clamped
    v = np.array([rng.uniform(-2, frames[k].height + 1) for k in ids])
    level = np.concatenate([[0.0, 6.0, 3.0], rng.uniform(0, 6, 197)])
    found = bank.lookup(np.array([bank.slot(k) for k in ids]), u, v, level)
    expected = np.stack([slow_lookup(frames[k], *uvl) for k, *uvl in zip(ids, u, v, level, strict=True)])
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_lookup_is_exact_at_a_tile_centre_and_not_renormalised() -> None:
    pyramid = pyramid_of(320, 240, 4)
    bank = PyramidBank()
    slot = np.array([bank.add(0, pyramid)])
    # level 6: tile 120, 5 x 3 tiles, first centre at pixel (59.5, 59.5)
    at = bank.lookup(slot, np.array([59.5]), np.array([59.5]), np.array([6.0]))
    np.testing.assert_allclose(at[0], pyramid.features[742].astype(np.float32), rtol=1e-6)
    # midway to the next one, 50 pixels on
    half = bank.lookup(slot, np.array([84.5]), np.array([59.5]), np.array([6.0]))
    np.testing.assert_allclose(half[0], pyramid.features[742:744].astype(np.float32).mean(axis=0), rtol=1e-4, atol=1e-5)


def test_images_of_a_single_column_of_tiles_can_be_looked_up() -> None:
    pyramid = pyramid_of(30, 400, 5)
    bank = PyramidBank()
    slot = np.array([bank.add(0, pyramid)])
    out = bank.lookup(slot, np.array([15.0]), np.array([399.0]), np.array([6.0]))
    last = pyramid.offset[6] + pyramid.ny[6] - 1
    np.testing.assert_allclose(out[0], pyramid.features[last].astype(np.float32), rtol=1e-5)


def test_removed_keyframes_leave_the_others_in_place() -> None:
    bank = PyramidBank()
    frames = {k: pyramid_of(160, 120, k) for k in range(12)}
    for key, pyramid in frames.items():
        bank.add(key, pyramid)
    for key in (0, 5, 11):
        bank.remove(key)
    frames[20] = pyramid_of(160, 120, 20)
    bank.add(20, frames[20])
    assert len(bank) == 10
    for key in (1, 6, 10, 20):
        found = bank.lookup(np.array([bank.slot(key)]), np.array([70.0]), np.array([50.0]), np.array([2.3]))
        np.testing.assert_allclose(found[0], slow_lookup(frames[key], 70.0, 50.0, 2.3), atol=2e-5)
    with pytest.raises(KeyError):
        bank.slot(5)


def test_pyramids_that_do_not_fit_are_refused() -> None:
    bank = PyramidBank()
    bank.add(0, pyramid_of(160, 120, 0))
    with pytest.raises(ValueError, match="already"):
        bank.add(0, pyramid_of(160, 120, 0))
    with pytest.raises(ValueError, match="does not fit"):
        bank.add(1, pyramid_of(160, 120, 0, dim=DIM + 1))


def test_tile_sizes_are_linear_between_levels() -> None:
    pyramid = dataclasses.replace(pyramid_of(320, 240, 0))
    np.testing.assert_allclose(pyramid.tile_px_at(np.array([0.0, 0.5, 6.0])), [19, 27.5, 120])
