# SPDX-License-Identifier: Apache-2.0
"""What packing depth and masks costs in accuracy: for depth a bound, for masks nothing."""

import numpy as np
import pytest

from lerf_ros.core.packed import BitMask, CompactDepth


def test_whole_millimetres_are_kept_exactly_up_to_six_and_a_half_metres() -> None:
    depth = (np.arange(6550, dtype=np.float32) * np.float32(0.001)).reshape(50, 131)
    packed = CompactDepth.of(depth)
    assert packed.codes.nbytes * 2 == depth.nbytes
    np.testing.assert_allclose(packed.metres(), depth, rtol=2e-7)


@pytest.mark.parametrize(("farthest", "error"), [(0.8, 5.1e-5), (5.0, 5.1e-5), (6.5, 5.1e-5), (65.0, 5.1e-4)])
def test_depth_is_off_by_at_most_half_a_unit(farthest: float, error: float) -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.05, farthest, (60, 80)).astype(np.float32)
    depth[0, 0] = farthest
    packed = CompactDepth.of(depth)
    assert np.abs(packed.metres() - depth).max() < error
    v, u = rng.integers(0, 60, 100), rng.integers(0, 80, 100)
    assert (packed.at(v, u) == packed.metres()[v, u]).all()


def test_what_is_no_measurement_becomes_nought_and_what_is_one_never_does() -> None:
    depth = np.array([[0.0, np.nan, np.inf, -np.inf, -2.0, 1e-6, 3.0]], np.float32)
    assert CompactDepth.of(depth).metres()[0].tolist() == [0, 0, 0, 0, 0, pytest.approx(1e-4), pytest.approx(3.0)]
    assert CompactDepth.of(np.zeros((2, 2), np.float32)).metres().tolist() == [[0, 0], [0, 0]]
    far = np.array([[500.0, 1e-3, 0.0]], np.float32)  # units of 7.6 mm
    assert CompactDepth.of(far).metres()[0].tolist() == [pytest.approx(500.0), pytest.approx(500 / 65535), 0]


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (8, 8), (3, 17)])
def test_masks_come_back_bit_for_bit(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    mask = rng.random(shape) < 0.5
    mask[0, 0] = False
    packed = BitMask.of(mask)
    assert packed is not None
    assert packed.bits.nbytes == -(-mask.size // 8)
    assert (packed.whole() == mask).all()
    v, u = np.mgrid[: shape[0], : shape[1]]
    assert (packed.at(v.ravel(), u.ravel()) == mask.ravel()).all()
    assert BitMask.of(np.ones(shape, bool)) is None
