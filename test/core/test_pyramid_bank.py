# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from lerf_ros.config import PyramidConfig
from lerf_ros.core.pyramid import FeaturePyramid, tile_grid
from lerf_ros.core.pyramid_bank import PyramidBank

DIM = 32
INSIDE = PyramidConfig()
PADDED = PyramidConfig(border="padded", min_tile=0.05)


def pyramid_of(width: int, height: int, seed: int, dim: int = DIM, config: PyramidConfig = INSIDE) -> FeaturePyramid:
    grid = tile_grid(width, height, config)
    features = np.random.default_rng(seed).normal(size=(grid.tiles, dim)).astype(np.float16)
    return FeaturePyramid(**vars(grid), features=features)


def centres(pyramid: FeaturePyramid, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x of the columns and y of the rows of tile centres, for both lattices by their own rule."""
    tile, nx, ny = (int(a[level]) for a in (pyramid.tile_px, pyramid.nx, pyramid.ny))
    x, y = np.arange(nx), np.arange(ny)
    if (pyramid.first_px[level] <= 0).all():
        first, stride = (tile - 1) / 2 - tile // 2, pyramid.stride_px[level, 0]
        return first + stride * x, first + stride * y
    first = (tile - 1) / 2
    return first + x * (pyramid.width - tile) / max(nx - 1, 1), first + y * (pyramid.height - tile) / max(ny - 1, 1)


def slow_lookup(pyramid: FeaturePyramid, u: float, v: float, level: float) -> np.ndarray:
    total = np.zeros(pyramid.features.shape[1])
    low = min(int(level), pyramid.levels - 2)
    for lv, weight in ((low, 1 - (level - low)), (low + 1, level - low)):
        nx, ny = int(pyramid.nx[lv]), int(pyramid.ny[lv])
        grid = pyramid.features[pyramid.offset[lv] :][: nx * ny].astype(float).reshape(ny, nx, -1)
        # last row and column twice, as LERF stores them: whatever lies beyond the last centre is the last tile
        grid = np.concatenate([grid, grid[-1:]], axis=0)
        grid = np.concatenate([grid, grid[:, -1:]], axis=1)
        cx, cy = centres(pyramid, lv)
        fx, fy = (np.interp(p, c, np.arange(len(c))) for p, c in ((u, cx), (v, cy)))
        x, y = int(fx), int(fy)
        ax, ay = fx - x, fy - y
        top = grid[y, x] * (1 - ax) + grid[y, x + 1] * ax
        bottom = grid[y + 1, x] * (1 - ax) + grid[y + 1, x + 1] * ax
        total += weight * (top * (1 - ay) + bottom * ay)
    return total


def test_lookup_agrees_with_its_slow_twin_over_image_sizes_and_lattices() -> None:
    frames = {7: pyramid_of(320, 240, 1), 3: pyramid_of(200, 220, 2), 5: pyramid_of(333, 201, 3, config=PADDED)}
    bank = PyramidBank()
    for key, pyramid in frames.items():
        bank.add(key, pyramid)
    rng = np.random.default_rng(3)
    ids = [int(k) for k in rng.choice(list(frames), 200)]
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


def test_padded_lookups_by_hand() -> None:
    # 63 x 40, level 0: tiles of 10 every 5 pixels from -0.5, 13 x 9 of them, the last centre at x = 59.5
    config = PyramidConfig(border="padded", min_tile=0.25, max_tile=0.5, levels=2)
    pyramid = pyramid_of(63, 40, 6, config=config)
    assert pyramid.nx.tolist() == [13, 7]
    assert pyramid.ny.tolist() == [9, 5]
    bank = PyramidBank()
    slot = np.full(4, bank.add(0, pyramid))
    u, v, level = np.array([2.0, 4.5, 62.0, 4.5]), np.array([-0.5, 4.5, -0.5, 4.5]), np.array([0.0, 0.0, 0.0, 0.5])
    found = bank.lookup(slot, u, v, level)
    f = pyramid.features.astype(np.float32)
    midway, centre, beyond = (f[0] + f[1]) / 2, f[14], f[12]
    # level 1: tiles of 20 every 10 pixels from -0.5, 7 a row, from row 117 on: x = y = 4.5 is between four of them
    above = f[[117, 118, 124, 125]].mean(axis=0)
    for row, expected in zip(found, (midway, centre, beyond, (centre + above) / 2), strict=True):
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


def test_growing_keeps_what_is_there_and_takes_no_more_than_it_needs() -> None:
    rng = np.random.default_rng(3)
    grid = tile_grid(64, 48, PyramidConfig(levels=3))
    bank, features = PyramidBank(), []
    for k in range(40):
        features.append(rng.normal(size=(grid.tiles, 16)).astype(np.float16))
        bank.add(k, FeaturePyramid(**vars(grid), features=features[-1]))
    assert bank.nbytes < 40 * (features[0].nbytes + 500)
    for k in (0, 17, 39):
        first = np.array([bank.slot(k)])
        at = bank.lookup(first, grid.first_px[:1, 0], grid.first_px[:1, 1], np.zeros(1))
        np.testing.assert_allclose(at[0], features[k][0], rtol=1e-3)


def test_a_pyramid_whose_embeddings_are_gone_is_refused() -> None:
    grid = tile_grid(64, 48, PyramidConfig(levels=3))
    pyramid = FeaturePyramid(**vars(grid), features=np.ones((grid.tiles, 16), np.float16))
    with pytest.raises(ValueError, match="0 embeddings for"):
        PyramidBank().add(0, pyramid.without_embeddings())
