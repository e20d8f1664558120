# SPDX-License-Identifier: Apache-2.0
"""The published protocols on images worked out by hand, and against slow twins."""

import numpy as np
import pytest

from lerf_ros.eval.protocols_2d import (
    hottest,
    iou,
    lerf_hit,
    majority,
    ovs_blurred,
    ovs_hit,
    ovs_iou,
    ovs_mask,
    selection_recall,
)


def image(*spots: tuple[int, int, int, float], levels: int = 2, height: int = 80, width: int = 100) -> np.ndarray:
    """Return relevancy 0.3 everywhere but at (level, x, y)."""
    out = np.full((levels, height, width), 0.3, np.float32)
    for level, x, y, value in spots:
        out[level, y, x] = value
    return out


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(corners, np.float64)


def test_lerf_takes_the_hottest_pixel_of_the_hottest_scale() -> None:
    relevancy = image((0, 10, 20, 0.8), (1, 50, 60, 0.9))
    found = hottest(relevancy)
    assert (found.level, found.pixels.tolist()) == (1, [[50, 60]])
    assert found.score == pytest.approx(0.9)
    assert lerf_hit(relevancy, boxes((45, 55, 55, 65)))
    assert not lerf_hit(relevancy, boxes((5, 15, 15, 25)))  # the other scale's peak is lower


def test_any_instance_of_the_label_counts_and_edges_are_inside() -> None:
    relevancy = image((0, 10, 20, 0.8))
    assert lerf_hit(relevancy, boxes((60, 60, 70, 70), (10, 20, 30, 40)))
    assert not lerf_hit(relevancy, boxes((10.1, 20, 30, 40)))
    assert not lerf_hit(relevancy, boxes((20, 10, 21, 11)))  # x and y are not mixed up


def test_lerf_counts_one_pixel_only_even_in_a_tie() -> None:
    relevancy = image((0, 10, 20, 0.8), (0, 50, 60, 0.8))
    assert lerf_hit(relevancy, boxes((9, 19, 11, 21)))
    assert not lerf_hit(relevancy, boxes((49, 59, 51, 61)))


def test_ovs_blurs_before_it_looks_so_a_single_pixel_does_not_win() -> None:
    relevancy = image((0, 80, 10, 1.0), levels=1)
    relevancy[0, 40:70, 10:40] = 0.6  # a 30 x 30 patch; its mean over the window is 0.6 where the window covers it
    assert lerf_hit(relevancy, boxes((79, 9, 81, 11)))
    assert not ovs_hit(relevancy, boxes((70, 0, 90, 20)))
    assert ovs_hit(relevancy, boxes((10, 40, 39, 69)))
    # The window reaches from 15 before to 14 after: only there it covers the patch alone.
    assert hottest(ovs_blurred(relevancy)).pixels.tolist() == [[25, 55]]
    assert ovs_blurred(relevancy)[0, 55, 25] == pytest.approx(0.6, abs=1e-6)
    # A lone pixel adds (1.0 - 0.3) / 900 to the windows that hold it.
    assert ovs_blurred(relevancy)[0, 20, 80] == pytest.approx(0.3 + 0.7 / 900, abs=1e-6)


def test_ovs_mask_is_the_patch_and_not_its_blurred_skirt() -> None:
    relevancy = np.full((1, 200, 200), 0.3, np.float32)
    relevancy[0, 60:140, 50:150] = 0.7
    mask = ovs_mask(relevancy)
    # Inside, half raw + half blurred is 0.75 of the range at an edge's middle (raw 1, blurred 1/2), which becomes 0.5;
    # outside at most (0 + 1/2) / 2 = 0.25 -> clipped to 0. Corners: raw 1, blurred 1/4 -> 0.625 -> 0.25, cut away.
    truth = np.zeros((200, 200), bool)
    truth[60:140, 50:150] = True
    assert not (mask & ~truth).any()
    assert mask[60:140, 80:120].all()
    assert mask[80:120, 50:150].all()
    assert not mask[60, 50]
    assert ovs_iou(relevancy, truth) == pytest.approx(mask.sum() / truth.sum())
    assert 0.95 < ovs_iou(relevancy, truth) < 1


def test_ovs_takes_the_level_with_the_highest_mixed_value() -> None:
    relevancy = np.full((2, 120, 120), 0.3, np.float32)
    relevancy[0, 20:60, 20:60] = 0.6
    relevancy[1, 70:110, 70:110] = 0.65
    mask = ovs_mask(relevancy)
    assert mask[90, 90]
    assert not mask[40, 40]


def test_a_flat_image_has_no_mask() -> None:
    assert not ovs_mask(np.full((1, 40, 40), 0.9, np.float32)).any()


def test_majority_is_its_slow_twin() -> None:
    mask = np.random.default_rng(3).random((17, 23)) > 0.5
    slow = mask.copy()
    for i in range(17):
        for j in range(23):
            square = mask[max(0, i - 3) : min(i + 4, 16), max(0, j - 3) : min(j + 4, 22)]
            slow[i, j] = np.bincount(square.astype(int).ravel()).argmax()
    np.testing.assert_array_equal(majority(mask), slow)


def test_iou_by_hand() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert iou(a, b) == 0
    a[:2, :2] = True  # 4
    b[1:3, :2] = True  # 4, 2 shared
    assert iou(a, b) == pytest.approx(2 / 6)


def test_selection_of_points_is_scored_by_recall() -> None:
    truth = np.array([True] * 4 + [False] * 4)
    right, half, wrong = truth, np.array([True] * 2 + [False] * 6), ~truth
    quarter = np.array([True] + [False] * 7)  # exactly 0.25 is not above it
    assert selection_recall([iou(found, truth) for found in (right, half, wrong, quarter)]) == pytest.approx(2 / 4)
    with pytest.raises(ValueError, match="no phrase"):
        selection_recall([])
