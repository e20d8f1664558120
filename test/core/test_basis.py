# SPDX-License-Identifier: Apache-2.0
"""The compact basis: as many directions as the embeddings have, and relevancies right to the tolerance."""

import numpy as np
import pytest
import torch

from lerf_ros.core.basis import TOLERANCE, Probes, coordinates, fitted, worst_error
from lerf_ros.core.relevancy import log_odds, relevancy
from lerf_ros.core.snapshot import LanguageCache


def unit(rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(rows, dim=-1)


def sample(rank: int, noise: float, count: int = 3000, dim: int = 96, seed: int = 0) -> torch.Tensor:
    """Return unit vectors near a subspace."""
    made = torch.Generator().manual_seed(seed)
    subspace = torch.randn(rank, dim, generator=torch.Generator().manual_seed(99))
    inside = unit(torch.randn(count, rank, generator=made) @ subspace)
    return unit(inside + noise * unit(torch.randn(count, dim, generator=made)))


def probes(dim: int = 96) -> Probes:
    made = torch.Generator().manual_seed(5)
    return Probes(unit(torch.randn(40, dim, generator=made)), unit(torch.randn(4, dim, generator=made)))


def test_embeddings_of_thirty_directions_need_two_registers() -> None:
    basis, error = fitted(sample(30, 0.0), sample(30, 0.0, seed=1), probes(), 96)
    assert len(basis) == 32
    assert error < 1e-3
    torch.testing.assert_close(basis @ basis.T, torch.eye(32), atol=1e-5, rtol=0)


def test_what_spans_everything_is_kept_in_full() -> None:
    basis, error = fitted(sample(96, 0.0), sample(96, 0.0, seed=1), probes(), 96)
    assert len(basis) == 96
    assert error < 1e-4


def test_the_limit_holds_and_the_error_is_told() -> None:
    basis, error = fitted(sample(30, 0.0), sample(30, 0.0, seed=1), probes(), 16)
    assert len(basis) == 16
    assert error > TOLERANCE


def test_directions_are_added_without_moving_the_first() -> None:
    first, _ = fitted(sample(14, 0.0), sample(14, 0.0, seed=1), probes(), 96)
    other = sample(40, 0.0, seed=2)
    more, error = fitted(other[::2], other[1::2], probes(), 96, first)
    assert len(more) > len(first) == 16
    torch.testing.assert_close(more[:16], first, atol=1e-5, rtol=0)
    assert error <= TOLERANCE
    assert fitted(sample(14, 0.0, seed=3), sample(14, 0.0, seed=4), probes(), 96, first)[0] is first


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_relevancies_are_those_of_the_embeddings_within_a_hundredth(noise: float) -> None:
    # phrases the basis was never judged by, nulls among them; every scale and point, uncovered ones too
    embeddings = sample(30, noise, 4000, seed=7).reshape(2, 2000, -1)
    embeddings[1, :50] = 0
    basis, _ = fitted(sample(30, noise), sample(30, noise, seed=1), probes(), 96)
    compact = LanguageCache(np.ones(2, np.float32), coordinates(embeddings, basis), basis)
    made = torch.Generator().manual_seed(11)
    asked, canonical = unit(torch.randn(60, 96, generator=made)), probes().canonical
    direct = relevancy(embeddings, asked, canonical)
    found = torch.sigmoid(torch.from_numpy(compact.log_odds(asked, canonical)))
    assert float((found - direct).abs().max()) < 0.01
    assert float(found[:, 1, :50].max()) == 0.0
    assert (log_odds(compact.embeddings, asked, canonical)[:, 1, :50] == -torch.inf).all()


def test_the_error_is_the_largest_difference_of_a_relevancy() -> None:
    # Without its second direction e = (.6, .8) is asked 'x against y' as (.6, 0): log-odds 10 (.6 - .8) become 10 (.6).
    axes = torch.eye(2)
    found = worst_error(torch.tensor([[0.6, 0.8]]), axes[:1], Probes(axes[:1], axes[1:]))
    assert found == pytest.approx(1 / (1 + np.exp(-6)) - 1 / (1 + np.exp(2)), abs=1e-6)
