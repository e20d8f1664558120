# SPDX-License-Identifier: Apache-2.0
"""The rules against relevancies written by hand, and a map whose answers are known."""

import numpy as np
import pytest

from lerf_ros.eval.painting import mask_iou
from lerf_ros.eval.rules import hot, mean, peak, top

#: Scale 0 has one outlier at point 3; scale 1 has a patch at points 5..8; point 1 is warm at both.
FOUND = np.full((2, 10), 0.1, np.float32)
FOUND[0, 3] = 0.95
FOUND[1, 5:9] = (0.8, 0.85, 0.9, 0.8)
FOUND[:, 1] = 0.6


def test_the_peak_rule_follows_one_outlier() -> None:
    values, score = peak(FOUND, 0.3)
    assert int(values.argmax()) == 3
    assert score == pytest.approx(0.95)


def test_the_top_rule_asks_for_several_points_at_one_scale() -> None:
    # three of ten points: scale 0 has (.95 + .6 + .1) / 3 = .55, scale 1 (.9 + .85 + .8) / 3 = .85
    values, score = top(FOUND, 0.3)
    assert int(values.argmax()) == 7
    assert score == pytest.approx(0.85)


def test_the_mean_rule_asks_all_scales() -> None:
    values, score = mean(FOUND, 0.3)
    assert int(values.argmax()) == 1
    assert score == pytest.approx(0.6)


def test_hot_points_are_the_upper_part_of_the_range_in_use() -> None:
    values = np.array([0.0, 0.2, 0.55, 0.6, 0.9], np.float32)
    use = np.array([False, True, True, True, True])
    # from .2 to .9 the threshold is .2 + .7 * .7 = .69
    assert hot(values, use).tolist() == [False, False, False, False, True]
    assert hot(values, np.array([False, True, True, True, False])).tolist() == [False, False, True, True, True]


def test_the_mask_of_a_clear_blob_is_the_blob() -> None:
    heat = np.full((1, 60, 80), 0.1, np.float32)
    heat[0, 20:40, 30:60] = 0.9
    truth = np.zeros((240, 320), bool)
    truth[80:160, 120:240] = True
    assert mask_iou(heat, truth) > 0.9
    assert mask_iou(heat, np.roll(truth, 120, axis=1)) < 0.1
