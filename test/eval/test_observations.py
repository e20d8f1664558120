# SPDX-License-Identifier: Apache-2.0
"""View averages of two cameras on opposite sides of a ball, where who sees what is plain."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from analytic import CAMERA, look_at, render
from known_scene import BALL, DIM, axis

from lerf_ros.core.snapshot import FieldSnapshot, LanguageCache
from lerf_ros.core.surface import SurfaceMap
from lerf_ros.eval.observations import view_averages, visible_surface
from lerf_ros.sim.camera import Intrinsics, RenderedFrame

POSES = [look_at((x, 0.0, 0.3), (0, 0, 0.02)) for x in (0.5, -0.5)]
POINTS = np.array([[0.03, 0, 0.03], [-0.03, 0, 0.03], [0.0, 0.1, 0.0], [0, 0, 0.0], [0, 3.0, 0.0]], np.float32)
FIRST, SECOND, BOTH, HIDDEN, OUTSIDE = range(5)
TILES = np.array([40, 80])


class Bank:
    """Says which camera's level was asked, as vectors of any length, and remembers the pixels."""

    def __init__(self) -> None:
        self.asked: dict[tuple[int, int], list[tuple[float, float]]] = {}

    def slot(self, keyframe: int) -> int:
        return keyframe - 100

    def lookup(self, slots: np.ndarray, u: np.ndarray, v: np.ndarray, level: np.ndarray) -> np.ndarray:
        for key in set(zip(slots.tolist(), level.astype(int).tolist(), strict=True)):
            self.asked[key] = list(zip(u.tolist(), v.tolist(), strict=True))
        return np.array([(2 + s) * axis(s + 2 * int(k)) for s, k in zip(slots, level, strict=True)], np.float32)


@pytest.fixture(scope="module")
def made() -> tuple[FieldSnapshot, FieldSnapshot, Bank]:
    n = len(POINTS)
    surface = SurfaceMap(
        POINTS, np.tile(axis(2)[:3], (n, 1)), np.zeros((n, 3), np.uint8), np.ones(n, np.int32), np.ones(n, np.int64),
        0.01,
    )  # fmt: skip
    nothing = LanguageCache(np.ones(1, np.float32), torch.zeros(1, n, DIM))
    snapshot = FieldSnapshot(0, 0, "base_link", 2, surface, nothing, "known", "k" * 64, {})
    bank = Bank()
    frames = [
        SimpleNamespace(id=100 + k, image=render((BALL,), pose), pyramid=SimpleNamespace(tile_px=TILES))
        for k, pose in enumerate(POSES)
    ]
    mapper: Any = SimpleNamespace(
        trainer=SimpleNamespace(language=SimpleNamespace(bank=bank, field=SimpleNamespace(embed_dim=DIM))),
        store=SimpleNamespace(view=lambda: tuple(frames)),
    )
    return (*view_averages(mapper, snapshot), bank)


def test_a_point_has_the_average_of_the_views_that_see_it(made: tuple[FieldSnapshot, FieldSnapshot, Bank]) -> None:
    one, every, _ = made
    for level in range(2):
        a, b = axis(2 * level), axis(1 + 2 * level)
        nothing = np.zeros(DIM)
        first, averages = (s.language.embeddings[level].float().numpy() for s in (one, every))
        np.testing.assert_allclose(first, [a, nothing, a, nothing, nothing], atol=0.005)
        np.testing.assert_allclose(averages, [a, b, (a + b) / np.sqrt(2), nothing, nothing], atol=0.005)


def test_it_is_looked_up_at_the_pixel_that_shows_it(made: tuple[FieldSnapshot, FieldSnapshot, Bank]) -> None:
    bank = made[2]
    assert {key: len(pixels) for key, pixels in bank.asked.items()} == {(0, 0): 2, (0, 1): 2, (1, 0): 2, (1, 1): 2}
    # The point at y = 0.1: the first camera looks along -x, so that it is to its right; it is as deep as the origin,
    # sin(angle) x 0.02 deeper than the point looked at.
    deep = np.hypot(0.5, 0.28) + 0.02 * 0.28 / np.hypot(0.5, 0.28)
    below = 0.02 * 0.5 / np.hypot(0.5, 0.28)
    at = bank.asked[0, 0][1]
    assert at == pytest.approx((159.5 + 280 * 0.1 / deep, 119.5 + 280 * below / deep), abs=1e-3)
    assert bank.asked[1, 1][1] == pytest.approx((159.5 - 280 * 0.1 / deep, at[1]), abs=1e-3)


def test_scales_are_tiles_at_the_middle_depth(made: tuple[FieldSnapshot, FieldSnapshot, Bank]) -> None:
    depth = render((BALL,), POSES[0]).depth_m
    assert depth is not None
    expected = TILES * np.median(depth[depth > 0]) / CAMERA.fy
    np.testing.assert_allclose(made[1].language.scales_m, expected, rtol=1e-3)


def test_the_visible_surface_is_of_objects_alone() -> None:
    ids = np.full((8, 8), -1, np.int32)
    ids[0, 4], ids[4, 0], ids[4, 4], ids[0, 5] = 0, 1, 2, 0  # only every fourth pixel counts
    depth = np.full((8, 8), 2.0, np.float32)
    pose = np.eye(4)
    pose[:3, 3] = (1, 2, 3)
    scene: Any = SimpleNamespace(geom_object=np.array([5, -2, 1]))
    frame = RenderedFrame(np.zeros((8, 8, 3), np.uint8), depth, ids, pose, Intrinsics(8, 8, 10.0))
    points, owner = visible_surface(scene, frame)
    assert owner.tolist() == [5, 1]
    # f = 10 px, centre 3.5: pixel 4 is 0.5 px right of it, pixel 0 3.5 px above it
    np.testing.assert_allclose(points, [[1.1, 2 - 0.7, 5.0], [1.1, 2.1, 5.0]])
