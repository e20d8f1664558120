# SPDX-License-Identifier: Apache-2.0
"""Object-level fits and null fits, on numbers worked out by hand and against a plain loop."""

import numpy as np
import torch

from lerf_ros.core.segments import Segments
from lerf_ros.core.support import NOTHING, Support, margins, null_fits

#                        thing 0: rows 1, 4; thing 1: rows 0, 2, 5; row 3 belongs to nothing, row 6 is not in use
LABEL = np.array([1, 0, 1, -1, 0, 1, 1], np.int32)
SEGMENTS = Segments(LABEL, LABEL, (), (), 3)
USE = np.array([1, 1, 1, 1, 1, 1, 0], bool)


def test_points_are_grouped_by_thing() -> None:
    support = Support.of(SEGMENTS, USE)
    assert [support.points(k).tolist() for k in range(3)] == [[1, 4], [0, 2, 5], []]
    assert [support.thinned(2).points(k).tolist() for k in range(3)] == [[1, 4], [0, 5], []]


def test_the_fit_is_the_mean_of_the_better_half_but_of_eight_points_at_least() -> None:
    label = np.repeat(np.array([0, 1], np.int32), (40, 5))
    support = Support.of(Segments(label, label, (), (), 3), np.ones(45, bool))
    odds = np.stack([np.r_[np.arange(40.0), 1, 2, 3, 4, 5], np.full(45, -np.inf)]).astype(np.float32)
    # the better 20 of 0..39 have the mean 29.5, the best fifth (8) 35.5; five points all speak: 3
    assert support.fits(odds).tolist() == [[29.5, 3.0, NOTHING], [NOTHING] * 3]
    assert support.fits(odds, share=0.2)[0].tolist() == [35.5, 3.0, NOTHING]
    assert support.fits(odds, share=0.01)[0, 0] == 35.5  # eight


def test_null_fits_agree_with_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    embeddings, phrases, canonical = (
        torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal(shape).astype(np.float32)), dim=-1)
        for shape in ((2, 60, 5), (3, 5), (2, 5))
    )
    label = np.repeat(np.array([0, 1], np.int32), 30)
    found = null_fits(embeddings, Support.of(Segments(label, label, (), (), 2), np.ones(60, bool)), phrases, canonical)
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
    assert support.fits(odds).tolist() == [[3.0]]  # the better half is those four and six bare ones


def test_the_margin_is_over_the_best_null_phrase_that_means_something_else() -> None:
    fits = np.array([4.0, 0.0], np.float32)
    nulls = np.array([[3.0, 1.0], [5.0, -1.0], [4.5, 0.5]], np.float32)
    similarity = np.array([0.2, 0.9, 0.7], np.float32)
    assert margins(fits, nulls, similarity, 0.7).tolist() == [1.0, -1.0]
    assert margins(fits, nulls, similarity, 0.8).tolist() == [-0.5, -1.0]
    assert margins(fits, nulls, similarity, 0.1).tolist() == [0.0, 0.0]  # no rival, no margin
