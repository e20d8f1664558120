# SPDX-License-Identifier: Apache-2.0
"""Answers in views and relevancy images of views, a pixel more or less being wrong."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from known_scene import CONFIG, NEUTRAL, KnownEncoder, axis

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.eval import images2d
from lerf_ros.eval.painting import ImagePainter, surface_painter
from lerf_ros.eval.questions import Question
from lerf_ros.eval.rules import Found
from lerf_ros.eval.views2d import NovelView
from lerf_ros.sim.camera import Intrinsics as SimIntrinsics
from lerf_ros.sim.camera import RenderedFrame

BALL = Question("ball", "category", (0,))
DOWN = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 1.0], [0, 0, 0, 1]])
"""One metre above the origin, looking down: x to the right, y up in the image."""


def view(x1: int, y1: int, width: int = 40, height: int = 30, side: int = 10) -> NovelView:
    """A view with a square of object 0 from (x1, y1) on; at half size 20 mm a pixel at one metre."""
    owner = np.full((height, width), -1, np.int64)
    owner[y1 : y1 + side, x1 : x1 + side] = 0
    size = (2 * height, 2 * width)
    frame = RenderedFrame(np.zeros((*size, 3), np.uint8), None, None, DOWN, SimIntrinsics(size[1], size[0], 100.0))
    return NovelView(frame, owner)


@pytest.mark.parametrize(
    ("corner", "hit"), [((17, 12), True), ((18, 12), False), ((17, 13), False), ((8, 3), True), ((7, 3), False)]
)
def test_the_hottest_pixel_of_a_smaller_image_is_its_middle_in_the_view(corner: tuple[int, int], hit: bool) -> None:
    # 8 x 6 pixels of five each: the middle of pixel (3, 2) is (17, 12)
    heat = np.zeros((2, 6, 8), np.float32)
    heat[1, 2, 3] = 0.9
    painter = ImagePainter([view(*corner)], [{"ball": heat}])
    assert painter.paint(BALL, none(1))[0] == (hit,)


def test_a_view_that_does_not_show_the_thing_is_not_asked() -> None:
    heat = {"ball": np.full((1, 6, 8), 0.5, np.float32)}
    hidden = view(3, 3, side=7)  # 49 pixels
    hits, ious = ImagePainter([hidden, view(0, 0)], [heat, heat]).paint(BALL, none(1))
    assert len(hits) == len(ious) == 1


def none(points: int) -> Found:
    return Found(0, 0.0, 0.0, np.zeros(points, np.float32), np.zeros(points, bool))


def test_surface_points_are_drawn_where_they_are_and_unanswerable_ones_are_not() -> None:
    # At half size f = 50 and the centre (19.75, 14.75): x = 0.105, y = 0.095 is at pixel (25, 10). A point is drawn
    # ceil(0.6 x 0.09 x 50) = 3 pixels to each side: 22..28, 7..13.
    points = np.array([[0.105, 0.095, 0.0], [-0.2, -0.1, 0.0]], np.float32)
    seen = SimpleNamespace(points=points, voxel_m=0.09, views=np.array([3, 3]))
    seen.answerable = lambda least: seen.views >= least
    snapshot: Any = SimpleNamespace(surface=seen)
    found = Found(0, 0.9, 0.9, np.array([0.9, 0.2], np.float32), np.array([True, False]))
    exact = view(22, 7, side=7)
    owner = exact.owner.copy()
    owner[0:3, 30:40] = 0  # so that 79 pixels count, 49 of them where the point is drawn
    painter = surface_painter(snapshot, [NovelView(exact.frame, owner)], 3, things=True)
    hits, ious = painter.paint(BALL, found)
    assert hits == (True,)
    assert ious == (pytest.approx(49 / 79),)
    for corner, hit in (((25, 5), True), ((26, 5), False), ((16, 10), True), ((16, 11), False)):
        painter = surface_painter(snapshot, [view(*corner)], 3, things=True)
        assert painter.paint(BALL, found)[0] == (hit,)
        seen.views = np.array([2, 3])
        assert surface_painter(snapshot, [view(*corner)], 3, things=True).paint(BALL, found)[0] == (False,)
        seen.views = np.array([3, 3])


def test_a_pyramid_is_asked_at_the_middles_of_the_images_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[np.ndarray, np.ndarray]] = []

    def lookup(slots: np.ndarray, u: np.ndarray, v: np.ndarray, level: np.ndarray) -> np.ndarray:
        asked.append((u, v))
        hot = (level == 1) & (u > 100) & (u < 104) & (v > 40) & (v < 44)
        return np.where(hot[:, None], axis(0), axis(NEUTRAL)) * 0.5  # not of unit length

    language = SimpleNamespace(bank=SimpleNamespace(slot=lambda _: 0, lookup=lookup))
    mapper = SimpleNamespace(trainer=SimpleNamespace(language=language), close=lambda: None)
    keyframe = SimpleNamespace(id=1, pyramid=SimpleNamespace(tile_px=[8, 16]))
    monkeypatch.setattr(images2d, "keyframes_of", lambda *_: (keyframe,))
    monkeypatch.setattr(images2d, "map_keyframes", lambda *_: mapper)
    heat = images2d.pyramid_heat(view(0, 0, 320, 240), ["ball"], KnownEncoder(), CONFIG)["ball"]
    assert heat.shape == (2, 120, 160)
    u, v = (a.reshape(120, 160) for a in asked[0])
    # four pixels of the frame to one: 0..3 have their middle at 1.5
    np.testing.assert_allclose(u[7], 4 * np.arange(160) + 1.5)
    np.testing.assert_allclose(v[:, 7], 4 * np.arange(120) + 1.5)
    assert np.argwhere(heat > 0.5).tolist() == [[1, 10, 25]]
    assert heat[1, 10, 25] == pytest.approx(1 / (1 + np.exp(-10)), abs=1e-5)


def test_a_field_is_rendered_by_the_views_own_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    image = np.arange(2 * 2 * 72 * 96, dtype=np.float32).reshape(2, 2, 72, 96)

    class Rendered:
        def __init__(self, weights: object, config: object, embed_dim: int) -> None:
            asked.update(weights=weights, embed_dim=embed_dim)

        def relevancy(self, intrinsics: Intrinsics, pose: np.ndarray, positives: np.ndarray, negatives: np.ndarray,
                      scales_m: np.ndarray) -> np.ndarray:  # fmt: skip
            asked.update(intrinsics=intrinsics, pose=pose, positives=positives, negatives=negatives, scales_m=scales_m)
            return image

    monkeypatch.setattr(images2d, "FieldView", Rendered)
    scales = np.array([0.1, 0.2], np.float32)
    snapshot: Any = SimpleNamespace(weights="w", language=SimpleNamespace(scales_m=scales, embeddings=torch.zeros(1)))
    heat = images2d.field_heat(snapshot, view(0, 0, 320, 240), ["ball", "post"], KnownEncoder(), CONFIG)
    np.testing.assert_array_equal(heat["ball"], image[0])
    np.testing.assert_array_equal(heat["post"], image[1])
    k = asked["intrinsics"]
    # the frame has f = 100 and the centre 319.5; half of both, then 0.3 times, pixel centres kept
    assert (k.width, k.height, k.fx, k.fy) == (96, 72, pytest.approx(15), pytest.approx(15))
    assert (k.cx, k.cy) == (pytest.approx((159.75 + 0.5) * 0.3 - 0.5), pytest.approx((119.75 + 0.5) * 0.3 - 0.5))
    assert asked["pose"] is DOWN
    assert asked["weights"] == "w"
    np.testing.assert_array_equal(asked["positives"], [axis(0), axis(2)])
    np.testing.assert_array_equal(asked["negatives"], np.tile(axis(NEUTRAL), (4, 1)))
    assert asked["scales_m"] is scales
