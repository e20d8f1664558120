# SPDX-License-Identifier: Apache-2.0
"""Figures against numbers worked by hand."""

import numpy as np
import pytest

from lerf_ros.eval.existence import auroc, average_precision, calibration_error
from lerf_ros.eval.intervals import bootstrap, wilson


def test_auroc_counts_pairs_and_half_of_ties() -> None:
    # 0.9 beats both; 0.4 ties with one and beats one: (2 + 1.5) / 4
    assert auroc([0.9, 0.4], [0.4, 0.1]) == pytest.approx(3.5 / 4)
    assert auroc([0.1], [0.9]) == 0.0
    assert auroc([], [0.9]) is None
    assert auroc([0.9], []) is None


def test_auroc_agrees_with_all_pairs_compared_one_by_one() -> None:
    rng = np.random.default_rng(0)
    p, a = rng.integers(0, 6, 31) / 6, rng.integers(0, 6, 17) / 6
    slow = np.mean([[1.0 if x > y else 0.5 if x == y else 0.0 for y in a] for x in p])
    assert auroc(list(p), list(a)) == pytest.approx(slow)


def test_average_precision_of_a_ranking_worked_by_hand() -> None:
    # ranking: present .9, absent .8, present .7 -> precisions 1 and 2/3 where each present one is accepted
    assert average_precision([0.9, 0.7], [0.8]) == pytest.approx((1 + 2 / 3) / 2)


def test_phrases_of_one_score_are_accepted_together() -> None:
    assert average_precision([0.5], [0.5, 0.5, 0.5]) == pytest.approx(0.25)
    assert average_precision([], [0.5]) is None


def test_calibration_error_worked_by_hand() -> None:
    # bin [.9, 1]: mean .95, right 1/2 -> gap .45, weight 2/4; bin [0, .1): mean .05, right 0 -> gap .05, weight 2/4
    assert calibration_error([0.93, 0.97, 0.04, 0.06], [True, False, False, False]) == pytest.approx(0.25)
    assert calibration_error([1.0, 0.0], [True, False]) == 0.0
    assert calibration_error([], []) is None


def test_wilson_gives_the_textbook_interval() -> None:
    # 8 of 10 (z = 1.96): (0.9921 -+ 0.3137) / 1.3841
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.490, abs=1e-3)
    assert high == pytest.approx(0.943, abs=1e-3)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(0, 10)[1] == pytest.approx(0.278, abs=1e-3)
    assert wilson(10, 10)[1] == pytest.approx(1.0)
    assert wilson(0, 0) == (0.0, 1.0)


def test_bootstrap_repeats_by_seed_and_covers_the_mean() -> None:
    scenes = [0.03, 0.91, 0.77, 0.11, 0.58, 0.83, 0.29, 0.95]
    once, again = (bootstrap(scenes, np.mean, 3) for _ in range(2))
    assert once == again
    assert once is not None
    assert once[0] < np.mean(scenes) < once[1]
    assert bootstrap(scenes, np.mean, 4) != once
    assert bootstrap([1.0], np.mean, 3) is None


def test_bootstrap_leaves_out_what_cannot_be_measured() -> None:
    found = bootstrap([1.0, 2.0], lambda some: None if some[0] == some[1] else 1.5, 0)
    assert found == (1.5, 1.5)
