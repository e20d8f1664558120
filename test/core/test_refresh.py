# SPDX-License-Identifier: Apache-2.0
"""The language of the surface, refreshed in turn, against one evaluated whole."""

import numpy as np
import pytest
import torch

from lerf_ros.config import EncoderConfig
from lerf_ros.core.basis import PROBES, Probes
from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.refresh import LanguageRefresher
from lerf_ros.core.relevancy import CANONICAL, relevancy

SCALES = np.array([0.1, 0.2], np.float32)
DIM = 24
VOXEL = 0.01


class Field:
    """A field that is known: smooth in space, scale and age. Counts the points it is asked for."""

    def __init__(self) -> None:
        self.age, self.asked = 0.0, 0
        self._mix = torch.randn(5, DIM, generator=torch.Generator().manual_seed(0))

    def __call__(self, points: np.ndarray, scales_m: np.ndarray) -> torch.Tensor:
        self.asked += len(points)
        x = torch.from_numpy(points)
        each = []
        for scale in scales_m:
            known = torch.cat([x, torch.full((len(x), 1), float(scale)), torch.full((len(x), 1), self.age)], dim=1)
            each.append(torch.nn.functional.normalize(torch.sin(3 * known @ self._mix), dim=1))
        return torch.stack(each)


def grid(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (count, 3)).astype(np.float32)


def refresher(field: Field, points_a_snapshot: int) -> LanguageRefresher:
    words = torch.nn.functional.normalize(torch.randn(30, DIM, generator=torch.Generator().manual_seed(1)), dim=1)
    return LanguageRefresher(field, SCALES, Probes(words[4:], words[:4]), DIM, rows=points_a_snapshot * len(SCALES))


def largest_error(found: torch.Tensor, field: Field, points: np.ndarray) -> float:
    return float((found - field(points, SCALES)).norm(dim=-1).max())


def test_a_small_map_is_evaluated_whole_every_time() -> None:
    field, points = Field(), grid(900)
    made = refresher(field, 1000)
    for age in (0.0, 0.3):
        field.age = age
        assert largest_error(made.refresh(points, VOXEL).embeddings, field, points) < 0.02


def test_a_large_map_is_evaluated_in_turn_and_is_whole_in_the_end() -> None:
    field, points = Field(), grid(3000)
    made = refresher(field, 500)
    made.refresh(points, VOXEL)
    field.age = 0.3
    fresh = []
    for _ in range(6):
        field.asked = 0
        found = made.refresh(points, VOXEL).embeddings
        assert field.asked <= 500 + 500  # whose turn it is, and the sample
        error = (found - field(points, SCALES)).norm(dim=-1).amax(dim=0)
        fresh.append(int((error < 0.02).sum()))
    assert fresh == [500, 1000, 1500, 2000, 2500, 3000]


def test_everything_is_evaluated_when_it_is_asked_for() -> None:
    field, points = Field(), grid(3000)
    made = refresher(field, 500)
    made.refresh(points, VOXEL)
    field.age = 0.3
    assert largest_error(made.refresh(points, VOXEL, everything=True).embeddings, field, points) < 0.02


def test_new_and_moved_points_are_right_at_once() -> None:
    field, points = Field(), grid(3000)
    made = refresher(field, 100)
    made.refresh(points, VOXEL)
    moved = points.copy()
    moved[1000:1200] += 0.5 * VOXEL
    grown = np.concatenate([moved, grid(700, seed=1)])
    field.age = 0.3
    found = made.refresh(grown, VOXEL).embeddings
    due = np.r_[1000:1200, 3000:3700]
    assert float((found - field(grown, SCALES))[:, due].norm(dim=-1).max()) < 0.02


@pytest.mark.parametrize("count", [1500, 4000])
def test_after_the_surface_was_made_anew_all_of_it_is(count: int) -> None:
    field = Field()
    made = refresher(field, 100)
    made.refresh(grid(3000), VOXEL)
    other = grid(count, seed=4)
    field.age = 0.3
    assert largest_error(made.refresh(other, VOXEL).embeddings, field, other) < 0.02


def test_what_was_published_does_not_change() -> None:
    field, points = Field(), grid(2000)
    made = refresher(field, 300)
    first = made.refresh(points, VOXEL)
    before = first.embeddings.clone()
    field.age = 0.5
    second = made.refresh(np.concatenate([points, grid(50, seed=2)]), VOXEL)
    assert torch.equal(first.embeddings, before)
    assert second.rows.shape[:2] == (2, 2050)


def test_no_surface_has_no_language() -> None:
    found = refresher(Field(), 300).refresh(np.zeros((0, 3), np.float32), VOXEL)
    assert found.rows.shape[:2] == (2, 0)


def test_with_the_bundled_encoders_phrases_every_relevancy_is_right_to_a_hundredth() -> None:
    encoder = load_encoder(EncoderConfig())
    nulls = encoder.calibration.null_phrases
    told, canonical = (torch.from_numpy(encoder.encode_texts(p)) for p in ((*nulls, *PROBES), CANONICAL))
    made = torch.Generator().manual_seed(2)
    mix = torch.randn(4, len(nulls), generator=made)
    wobble, across = torch.randn(4, 60, generator=made), torch.randn(60, told.shape[1], generator=made)

    def embed(points: np.ndarray, scales_m: np.ndarray) -> torch.Tensor:
        """Blend from null phrase to null phrase, with what phrases do not say laid over it in 60 directions."""
        each = []
        for scale in scales_m:
            x = torch.cat([torch.from_numpy(points), torch.full((len(points), 1), float(scale))], dim=1)
            blend = torch.softmax(6 * torch.sin(9 * x @ mix), dim=1) @ told[: len(nulls)]
            each.append(torch.nn.functional.normalize(blend + 0.01 * torch.sin(7 * x @ wobble) @ across, dim=1))
        return torch.stack(each)

    points = grid(6000)
    refresher = LanguageRefresher(embed, SCALES, Probes(told, canonical), told.shape[1])
    language = refresher.refresh(points, VOXEL)
    assert language.basis is not None
    assert len(language.basis) < told.shape[1]
    others = ("a photo of a cat", "teapot", "my left shoe", "where the red one was", "zebra crossing")
    asked = torch.cat([told, torch.from_numpy(encoder.encode_texts(others))])
    direct = relevancy(embed(points, SCALES), asked, canonical)
    found = torch.sigmoid(torch.from_numpy(language.log_odds(asked, canonical)))
    assert float((found - direct).abs().max()) < 0.01
