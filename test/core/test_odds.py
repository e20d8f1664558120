# SPDX-License-Identifier: Apache-2.0
"""The fused kernels against the plain way: torch for the log-odds, a sort for each thing."""

import numpy as np
import pytest
import torch

from lerf_ros.core import odds, support
from lerf_ros.core.odds import NOTHING
from lerf_ros.core.relevancy import log_odds
from lerf_ros.core.segments import Segments
from lerf_ros.core.snapshot import LanguageCache
from lerf_ros.core.support import Fits, Support, ask

SCALES, POINTS, DIM, THINGS = 3, 400, 24, 5


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(made, dim=-1)


@pytest.fixture(params=["float32", "bfloat16", "int16"])
def language(request: pytest.FixtureRequest) -> LanguageCache:
    """Embeddings with some points that no view covers at a scale, and one thing without any."""
    embeddings = unit(SCALES, POINTS, DIM)
    embeddings[1, 30:70] = 0
    embeddings[:, 300:320] = 0
    scales = np.arange(1, SCALES + 1, dtype=np.float32)
    if request.param == "int16":
        return LanguageCache.of(scales, embeddings)
    return LanguageCache(scales, embeddings.to(getattr(torch, request.param)))


def things() -> Segments:
    """Things of 300, 20 (uncovered), 70, 0 and 5 points; the last 5 points belong to none."""
    label = np.repeat(np.array([0, 1, 2, 4, -1], np.int32), (300, 20, 70, 5, 5))
    return Segments(label, label, (), (), THINGS)


def plainly(
    language: LanguageCache, positives: torch.Tensor, negatives: torch.Tensor, use: Support, share: float
) -> Fits:
    """Return `ask` by a sort a thing."""
    each = log_odds(language.embeddings, positives, negatives).numpy()
    shape = (len(positives), SCALES, THINGS)
    found = Fits(np.full(shape, NOTHING, np.float32), np.zeros(shape, np.int64), np.full(shape, -np.inf, np.float32))
    for p, s, k in np.ndindex(shape):
        rows = use.points(k)
        rows = rows[np.isfinite(each[p, s, rows])]
        if len(rows):
            speakers = int(use.speakers(share)[k])
            found.fits[p, s, k] = np.sort(each[p, s, rows])[::-1][:speakers].mean()
            found.hottest[p, s, k] = rows[each[p, s, rows].argmax()]
            found.peaks[p, s, k] = each[p, s, rows].max()
    return found


@pytest.mark.parametrize("share", [0.5, 0.2, 1.0])
@pytest.mark.parametrize("phrases", [1, 3, 9])
def test_things_are_told_about_as_by_a_sort_each(language: LanguageCache, phrases: int, share: float) -> None:
    use = Support.of(things(), np.arange(POINTS) % 7 != 3)
    positives, negatives = unit(phrases, DIM, seed=1), unit(5, DIM, seed=2)
    found, plain = (f(language, positives, negatives, use, share) for f in (ask, plainly))
    np.testing.assert_allclose(found.fits, plain.fits, atol=1e-4)
    np.testing.assert_allclose(found.peaks, plain.peaks, atol=1e-4)
    np.testing.assert_array_equal(found.hottest, plain.hottest)


def test_phrases_a_pass_change_nothing(language: LanguageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    use = Support.of(things(), np.ones(POINTS, bool))
    positives, negatives = unit(7, DIM, seed=1), unit(4, DIM, seed=2)
    at_once = ask(language, positives, negatives, use)
    monkeypatch.setattr(support, "AT_ONCE", 600)  # two of the largest thing's 300 points
    np.testing.assert_array_equal(ask(language, positives, negatives, use).fits, at_once.fits)


def test_log_odds_of_points_are_torchs(language: LanguageCache) -> None:
    positives, negatives = unit(6, DIM, seed=1), unit(4, DIM, seed=2)
    plain = log_odds(language.embeddings, positives, negatives).numpy()
    np.testing.assert_allclose(language.log_odds(positives, negatives), plain, atol=1e-4)
    some = np.array([5, 399, 31])
    np.testing.assert_allclose(language.log_odds(positives, negatives, some), plain[..., some], atol=1e-4)


@pytest.mark.parametrize("values", [[2.0] * 9, [0.0] * 5 + [1.0] * 4, [-1e-9, 0.0, 1e-9, 5.0], [3.0], list(range(50))])
def test_the_mean_of_the_best_of_equal_and_nearly_equal_values(values: list[float]) -> None:
    each = np.array(values, np.float32)
    for count in range(1, len(each) + 1):
        wanted = np.sort(each)[::-1][:count].mean()
        assert odds._mean_of_best(each, count) == pytest.approx(wanted, abs=1e-5)


def test_null_fits_are_those_of_the_pass_over_rows(language: LanguageCache) -> None:
    use = Support.of(things(), np.arange(POINTS) % 7 != 3)
    few = use.thinned(support.NULL_POINTS)
    nulls, canonical = unit(9, DIM, seed=1), unit(4, DIM, seed=2)
    wanted = ask(language, nulls, canonical, few).fits.max(axis=1)
    np.testing.assert_allclose(support.null_fits(language, use, nulls, canonical), wanted, atol=1e-4)
    assert support.null_fits(language, use, nulls[:0], canonical).shape == (0, THINGS)
