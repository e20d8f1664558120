# SPDX-License-Identifier: Apache-2.0
"""Rendering, contraction, sampling and losses against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from lerf_ros.config import WorkspaceConfig
from lerf_ros.core import losses, rendering
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.field import spherical_harmonics
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.rays import RayBundle
from lerf_ros.core.sampling import DensityGrid, sample_by_density, sample_by_depth

BOX = SceneBox.of(WorkspaceConfig((-1.0, -0.5, -0.5), (1.0, 0.5, 0.5)))


def test_weights_of_two_samples_by_hand() -> None:
    # alpha = 1/2 and 3/4: weights 1/2 and 1/2 * 3/4.
    density = torch.tensor([[math.log(2.0), math.log(4.0)]])
    weights = rendering.render_weights(density, torch.ones(1, 2))
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.375]]))


def test_weights_never_sum_to_more_than_one() -> None:
    density = torch.rand(50, 20, generator=torch.Generator().manual_seed(0)) * 100
    assert float(rendering.render_weights(density, torch.full((50, 20), 0.1)).sum(-1).max()) <= 1 + 1e-5


def test_intervals_reach_to_the_next_sample() -> None:
    delta = rendering.interval_lengths(torch.tensor([[1.0, 1.5, 3.0]]), torch.tensor([9.0]))
    torch.testing.assert_close(delta, torch.tensor([[0.5, 1.5, 9.0]]))


def test_expected_and_median_distance_by_hand() -> None:
    weights, t = torch.tensor([[0.1, 0.1, 0.6]]), torch.tensor([[1.0, 2.0, 3.0]])
    assert float(rendering.expected_distance(weights, t)) == pytest.approx((0.1 + 0.2 + 1.8) / 0.8)
    assert float(rendering.median_distance(weights, t)) == 3.0


def test_top_samples_are_the_largest_and_not_renormalised() -> None:
    values, indices = rendering.top_samples(torch.tensor([[0.1, 0.5, 0.2, 0.05]]), 2)
    assert indices.tolist() == [[1, 2]]
    torch.testing.assert_close(values, torch.tensor([[0.5, 0.2]]))


def test_contraction_by_hand() -> None:
    # Half side 1: inside x/4 + 1/2; at distance 2, (2 - 1/2) / 4 + 1/2; far away, the face of the cube.
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1e6, 0.0, 0.0], [-2.0, 1.0, 0.0]])
    expected = torch.tensor([[0.5] * 3, [0.75, 0.5, 0.5], [0.875, 0.5, 0.5], [1.0, 0.5, 0.5], [0.125, 0.6875, 0.5]])
    torch.testing.assert_close(BOX.contract(points), expected)


def test_spherical_harmonics_are_orthonormal() -> None:
    d = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0))
    basis = spherical_harmonics(torch.nn.functional.normalize(d, dim=-1))
    torch.testing.assert_close(4 * math.pi * basis.T @ basis / len(d), torch.eye(9), atol=0.03, rtol=0)


def test_samples_by_depth_cover_free_space_and_the_band() -> None:
    t = sample_by_depth(np.float32([2.0]), np.float32([0.1]), 0.1, np.full((1, 8), 0.5, np.float32))[0]
    assert (np.diff(t) > 0).all()
    np.testing.assert_allclose(t[:2], [0.1 + 1.8 * 0.25, 0.1 + 1.8 * 0.75], rtol=1e-5)
    np.testing.assert_allclose(t[2:], 1.9 + 0.2 * (np.arange(6) + 0.5) / 6, rtol=1e-5)


def wall(distance: float) -> DensityGrid:
    """Return a grid that is dense only in the cells around x = distance."""
    grid = DensityGrid(BOX, 64, initial=1e-4)
    cell = int((distance / BOX.half_m / 4 + 0.5) * 64)
    grid.values[cell] = 200.0
    return grid


@pytest.mark.parametrize("threads", [1, 2])
def test_samples_by_density_gather_at_a_wall(threads: int) -> None:
    rays = RayBundle(np.zeros((5, 3), np.float32), np.tile(np.float32([1, 0, 0]), (5, 1)), np.ones(5, np.float32))
    jitter = np.random.default_rng(0).random((5, 32), dtype=np.float32)
    t = sample_by_density(rays, wall(0.8), 0.05, 10.0, jitter, Workers(threads))
    assert (np.diff(t, axis=1) >= 0).all()
    assert np.mean(np.abs(t - 0.8) < 0.12) > 0.85
    assert (np.abs(t - 0.8) > 0.2).any()  # a few still look elsewhere


def test_density_grid_keeps_the_decaying_maximum() -> None:
    grid = DensityGrid(BOX, 4, initial=1.0)
    cells = np.array([0, 1])
    grid.update(cells, np.float32([5.0, 0.1]), decay=0.5)
    assert grid.values.reshape(-1)[:3].tolist() == [5.0, 0.5, 1.0]


def test_free_space_loss_is_zero_for_a_ray_that_ends_at_the_surface_and_counts_what_does_not() -> None:
    t = torch.tensor([[0.5, 1.0, 1.5]])
    surface, band = torch.tensor([1.0]), torch.tensor([0.1])
    assert float(losses.free_space(torch.tensor([[0.0, 1.0, 0.0]]), t, surface, band)) == 0.0
    assert float(losses.free_space(torch.tensor([[0.3, 0.5, 0.2]]), t, surface, band)) == pytest.approx(0.3 + 0.25)


def test_psnr_of_a_hundredth_is_twenty_decibel() -> None:
    assert losses.psnr_db(0.01) == pytest.approx(20.0, abs=1e-4)


def test_clip_loss_is_one_minus_cosine_whatever_the_length_of_the_target() -> None:
    predicted, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert float(losses.clip_similarity(predicted, target)) == pytest.approx(0.4)
