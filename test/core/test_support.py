# SPDX-License-Identifier: Apache-2.0
"""Object-level fits and null fits, on numbers worked out by hand and against a plain loop."""

import numpy as np
import torch

from lerf_ros.core.odds import NOTHING
from lerf_ros.core.segments import Segments
from lerf_ros.core.snapshot import LanguageCache
from lerf_ros.core.support import SHARE, Fits, Support, ask, margins, null_fits

#                        thing 0: rows 1, 4; thing 1: rows 0, 2, 5; row 3 belongs to nothing, row 6 is not in use
LABEL = np.array([1, 0, 1, -1, 0, 1, 1], np.int32)
SEGMENTS = Segments(LABEL, LABEL, (), (), 3)
USE = np.array([1, 1, 1, 1, 1, 1, 0], bool)


def told(odds: np.ndarray, support: Support, share: float = SHARE) -> Fits:
    """Return what points with these log-odds (minus infinity: not covered) say about one phrase."""
    covered = np.isfinite(odds)
    rows = np.stack([np.where(covered, odds / 10, 0), covered], axis=-1).astype(np.float32)
    language = LanguageCache(np.arange(len(odds), dtype=np.float32), torch.from_numpy(rows))
    phrase, neutral = torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)
    return ask(language, phrase, neutral, support, share)


def test_points_are_grouped_by_thing() -> None:
    support = Support.of(SEGMENTS, USE)
    assert [support.points(k).tolist() for k in range(3)] == [[1, 4], [0, 2, 5], []]
    assert [support.thinned(2).points(k).tolist() for k in range(3)] == [[1, 4], [0, 5], []]


def test_the_fit_is_the_mean_of_the_better_half_but_of_eight_points_at_least() -> None:
    label = np.repeat(np.array([0, 1], np.int32), (40, 5))
    support = Support.of(Segments(label, label, (), (), 3), np.ones(45, bool))
    odds = np.stack([np.r_[np.arange(40.0), 1, 2, 3, 4, 5], np.full(45, -np.inf)]).astype(np.float32)
    # the better 20 of 0..39 have the mean 29.5, the best fifth (8) 35.5; five points all speak: 3
    found = told(odds, support)
    np.testing.assert_allclose(found.fits[0], [[29.5, 3.0, NOTHING], [NOTHING] * 3], rtol=1e-6)
    np.testing.assert_allclose(told(odds, support, 0.2).fits[0, 0], [35.5, 3.0, NOTHING], rtol=1e-6)
    np.testing.assert_allclose(told(odds, support, 0.01).fits[0, 0, 0], 35.5, rtol=1e-6)  # eight
    assert found.hottest[0, 0, :2].tolist() == [39, 44]
    np.testing.assert_allclose(found.peaks[0], [[39, 5, -np.inf], [-np.inf] * 3], rtol=1e-6)


def test_null_fits_agree_with_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    embeddings, phrases, canonical = (
        torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal(shape).astype(np.float32)), dim=-1)
        for shape in ((2, 60, 5), (3, 5), (2, 5))
    )
    label = np.repeat(np.array([0, 1], np.int32), 30)
    language = LanguageCache(np.array([0.1, 0.2], np.float32), embeddings)
    found = null_fits(language, Support.of(Segments(label, label, (), (), 2), np.ones(60, bool)), phrases, canonical)
    for p in range(3):
        for k in range(2):
            scales = []
            for s in range(2):
                e = embeddings[s, label == k]
                odds = 10 * (e @ phrases[p] - (e @ canonical.T).max(dim=1).values)
                scales.append(float(odds.sort(descending=True).values[:15].mean()))
            np.testing.assert_allclose(found[p, k], max(scales), rtol=1e-5)


def test_points_that_no_view_covers_do_not_speak() -> None:
    label = np.zeros(20, np.int32)
    support = Support.of(Segments(label, label, (), (), 1), np.ones(20, bool))
    odds = np.full((1, 20), -np.inf, np.float32)
    odds[0, :4] = 1.0, 2.0, 3.0, 6.0
    np.testing.assert_allclose(told(odds, support).fits, [[[3.0]]], rtol=1e-6)  # six of the ten are bare


def test_the_margin_is_over_the_best_null_phrase_that_means_something_else() -> None:
    fits = np.array([4.0, 0.0], np.float32)
    nulls = np.array([[3.0, 1.0], [5.0, -1.0], [4.5, 0.5]], np.float32)
    similarity = np.array([0.2, 0.9, 0.7], np.float32)
    assert margins(fits, nulls, similarity, 0.7).tolist() == [1.0, -1.0]
    assert margins(fits, nulls, similarity, 0.8).tolist() == [-0.5, -1.0]
    assert margins(fits, nulls, similarity, 0.1).tolist() == [0.0, 0.0]  # no rival, no margin
