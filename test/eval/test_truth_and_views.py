# SPDX-License-Identifier: Apache-2.0
"""The rule of a hit, and what a view shows, on surfaces written by hand."""

import numpy as np
import pytest

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.eval.truth import Truth
from lerf_ros.eval.views2d import NovelView, hottest_pixel, splat
from lerf_ros.sim.camera import Intrinsics as SimIntrinsics
from lerf_ros.sim.camera import RenderedFrame


def plate(x: float) -> np.ndarray:
    """A square of 4 cm around (x, 0, 0), a point a millimetre."""
    a, b = np.meshgrid(np.linspace(-0.02, 0.02, 41), np.linspace(-0.02, 0.02, 41))
    return np.stack([a.ravel() + x, b.ravel(), np.zeros(a.size)], axis=1)


TRUTH = Truth([plate(0.0), plate(0.06), plate(0.30)])


def test_a_point_hits_the_nearest_object_within_two_centimetres() -> None:
    assert TRUTH.judge(np.array([0.0, 0.0, 0.005]), (0,)) == (True, pytest.approx(0.005))
    hit, error = TRUTH.judge(np.array([0.0, 0.0, 0.021]), (0,))
    assert not hit
    assert error == pytest.approx(0.021)


def test_a_point_nearer_to_a_wrong_object_misses_though_the_right_one_is_within_reach() -> None:
    # the gap is from x = 0.02 to 0.04: 0.032 is 12 mm from object 0 and 8 mm from object 1
    hit, error = TRUTH.judge(np.array([0.032, 0.0, 0.0]), (0,))
    assert not hit
    assert error == pytest.approx(0.012, abs=1e-6)
    assert TRUTH.judge(np.array([0.032, 0.0, 0.0]), (1,))[0]


def test_any_right_instance_counts() -> None:
    assert TRUTH.judge(np.array([0.30, 0.0, 0.0]), (0, 2)) == (True, pytest.approx(0.0, abs=1e-9))


def test_many_points_are_judged_like_one() -> None:
    points = np.random.default_rng(0).uniform((-0.05, -0.05, -0.03), (0.35, 0.05, 0.03), (300, 3))
    together = TRUTH.hits(TRUTH.distances_m(points), (1,))
    assert together.tolist() == [TRUTH.judge(p, (1,))[0] for p in points]
    assert 0 < together.sum() < 300


def test_owners_and_centres() -> None:
    points = np.array([[0.0, 0, 0.005], [0.06, 0, 0.005], [0.06, 0, 0.015]])
    assert TRUTH.owners(TRUTH.distances_m(points)).tolist() == [0, 1, -1]
    assert TRUTH.centre_error_m(np.array([0.30, 0.03, 0.04]), (0, 2)) == pytest.approx(0.05)


CAMERA = Intrinsics(40, 30, 50.0, 50.0, 19.5, 14.5)
DOWN = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 1.0], [0, 0, 0, 1]])
"""One metre above the origin, looking down: x to the right, y up in the image."""


def test_a_view_shows_the_nearer_of_two_points() -> None:
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.2], [0.2, 0.0, 0.0]], np.float32)
    seen = splat(points, np.ones(3, bool), 0.02, CAMERA, DOWN)
    assert seen[14, 19] == 1
    assert set(np.unique(seen)) == {-1, 1, 2}
    assert seen[15, 30] == 2  # 0.2 m is 10 pixels from the centre at 19.5
    behind = splat(points, np.array([True, False, True]), 0.02, CAMERA, DOWN)
    assert behind[14, 19] == 0


def test_the_hottest_pixel_is_of_the_hottest_visible_point() -> None:
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.2], [0.2, 0.0, 0.0]], np.float32)
    seen = splat(points, np.ones(3, bool), 0.02, CAMERA, DOWN)
    pixel = hottest_pixel(seen, np.array([0.9, 0.2, 0.4], np.float32), points, CAMERA, DOWN)
    assert pixel is not None
    assert pixel.tolist() == [[30, 14]]  # the point of 0.9 is hidden
    assert hottest_pixel(seen, np.zeros(3, np.float32), points, CAMERA, DOWN) is None


def test_a_point_just_outside_the_image_is_shown_at_its_edge() -> None:
    points = np.array([[0.402, 0.0, 0.0]], np.float32)  # pixel 39.6, which rounds to 40: one beyond the last
    seen = splat(points, np.ones(1, bool), 0.04, CAMERA, DOWN)
    pixel = hottest_pixel(seen, np.ones(1, np.float32), points, CAMERA, DOWN)
    assert pixel is not None
    assert pixel.tolist()[0][0] == 39


def test_boxes_are_of_what_is_visible_enough() -> None:
    owner = np.full((30, 40), -1, np.int64)
    owner[5:15, 10:18] = 0  # 80 pixels
    owner[20:25, 30:35] = 1  # 25 pixels
    frame = RenderedFrame(np.zeros((60, 80, 3), np.uint8), None, None, np.eye(4), SimIntrinsics(80, 60, 100.0))
    view = NovelView(frame, owner)
    assert view.boxes((0, 1)).tolist() == [[10, 5, 17, 14]]
    assert not len(view.boxes((1,)))
    assert view.mask((0, 1)).sum() == 105
    assert view.intrinsics.fx == 50.0
    assert view.intrinsics.cx == pytest.approx(39.5 / 2)
