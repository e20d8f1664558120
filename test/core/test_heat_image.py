# SPDX-License-Identifier: Apache-2.0
import dataclasses

import cv2
import numpy as np
import pytest
from analytic import CAMERA, look_at, render
from known_scene import BALL, CRATE, POST, nearest_solid, surface_of

from lerf_ros.core.geometry import Intrinsics, transform_points
from lerf_ros.core.heat_image import FILL, blended, colours, heat_of, live_heat, only_where, splatted
from lerf_ros.core.standing import Relevancy

PINHOLE = Intrinsics(101, 81, 100.0, 100.0, 50.0, 40.0)


def wall(z: float, half: float, step: float = 0.01) -> np.ndarray:
    """Return points of a square across the optical axis."""
    side = np.arange(-half, half + step / 2, step)
    x, y = np.meshgrid(side, side)
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1).astype(np.float32)


def test_heat_is_what_relevancy_has_above_neutral_times_probability() -> None:
    np.testing.assert_allclose(heat_of(np.array([0, 0.5, 0.75, 1], np.float32), 0.8), [0, 0, 0.4, 0.8], atol=1e-6)


def test_a_point_is_a_disc_of_its_spacing() -> None:
    depth, value = splatted(np.array([[0.1, 0.05, 1.0]], np.float32), np.ones(1, np.float32), 0.043, PINHOLE, np.eye(4))
    v, u = np.mgrid[0:81, 0:101]
    disc = (u - 60) ** 2 + (v - 45) ** 2 <= (FILL * 0.0215 * 100) ** 2  # 3.2 pixels around (60, 45)
    np.testing.assert_array_equal(value > 0, disc)
    np.testing.assert_array_equal(depth, np.where(disc, np.float32(1), np.float32(0)))


def test_what_is_in_front_hides_what_is_behind() -> None:
    board, far = wall(0.5, 0.1), wall(1.0, 0.45)
    hot = np.concatenate([np.zeros(len(board), np.float32), np.ones(len(far), np.float32)])
    for order in (slice(None), slice(None, None, -1)):  # whichever comes first
        depth, value = splatted(np.concatenate([board, far])[order], hot[order], 0.01, PINHOLE, np.eye(4))
        # the board spans 20 pixels either way from (50, 40), and half a splat more
        assert (value[21:60, 31:70] == 0).all()
        assert (depth[21:60, 31:70] == np.float32(0.5)).all()
        assert (value[:18, 8:92] == 1).all()
        assert (value[:, 74:92] == 1).all()


def test_what_is_behind_the_camera_or_outside_is_not_seen() -> None:
    points = np.array([[0, 0, -1], [0, 0, 0], [5, 0, 1], [0, -5, 1], [0, 0, 0.019]], np.float32)
    depth, value = splatted(points, np.ones(5, np.float32), 0.01, PINHOLE, np.eye(4))
    assert not depth.any()
    assert not value.any()


def test_nothing_mapped_is_an_image_without_heat() -> None:
    depth, value = splatted(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 0.01, PINHOLE, np.eye(4))
    assert not depth.any()
    assert not value.any()


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray, object]:
    """The known scene from a camera that mapped nothing: depth and heat of the ball, splatted and as they are."""
    solids = (BALL, CRATE, POST)
    surface = surface_of(solids)
    hot = (nearest_solid(surface, solids) == 0).astype(np.float32)
    pose = look_at((0.45, -0.25, 0.3), (0.02, 0.0, 0.02))
    depth, value = splatted(surface.points, hot, surface.voxel_m, CAMERA, pose)
    return depth, value, hot, render(solids, pose)


def test_a_mapped_scene_is_seen_as_it_is(scene) -> None:
    depth, value, _, image = scene
    v, u = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width].astype(float)
    rays = CAMERA.unproject(u.ravel(), v.ravel()) * image.depth_m.reshape(-1, 1)
    mapped = (np.abs(transform_points(image.T_world_cam, rays)[:, :2]).max(axis=1) < 0.2).reshape(depth.shape)
    assert mapped.sum() > 20_000
    assert (depth > 0)[mapped].mean() > 0.995, "no holes"
    assert np.median(np.abs(depth - image.depth_m)[mapped]) < 0.005, "below a voxel"
    ball = (image.rgb == BALL.colour).all(axis=-1)
    painted = value > 0
    assert ball.sum() > 300
    assert (ball & painted).sum() / (ball | painted).sum() > 0.8, "heat lies on the ball, what hides it is left out"


def test_heat_stays_where_the_camera_measures_the_maps_surface(scene) -> None:
    depth, value, _, image = scene
    kept = only_where(value, depth, image.depth_m)
    ball = (image.rgb == BALL.colour).all(axis=-1)
    np.testing.assert_array_equal(kept[ball], value[ball])
    assert (kept > 0).sum() < (value > 0).sum(), "splats reach over the ball's rim, where the table is seen"
    hand = image.depth_m.copy()
    hand[:, :160] = 0.2  # something new in front of the left half
    kept = only_where(value, depth, hand)
    assert not kept[:, :160].any()
    np.testing.assert_array_equal(kept[:, 160:], only_where(value, depth, image.depth_m)[:, 160:])
    gone = np.where(value > 0, np.float32(2), image.depth_m)  # the ball was taken away
    assert not only_where(value, depth, gone).any()
    blind = np.where(np.arange(240)[:, None] % 2, np.float32(np.nan), np.float32(0)) * np.ones_like(depth)
    np.testing.assert_array_equal(only_where(value, depth, blind), value)


def test_lightness_grows_with_heat() -> None:
    ramp = colours(np.linspace(0, 1, 33, dtype=np.float32)[None])
    lightness = cv2.cvtColor(ramp.astype(np.uint8), cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] - lightness[0] > 120


def test_without_heat_the_image_stays_recognisable_and_heat_is_the_only_strong_colour() -> None:
    rgb = np.tile(np.array([200, 30, 30], np.uint8), (4, 4, 1))
    heat = np.zeros((4, 4), np.float32)
    heat[2:] = 1
    out = blended(rgb, heat)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[0, 0]
    np.testing.assert_array_equal(out[0, 0], np.rint(0.75 * luma + 0.25 * rgb[0, 0].astype(float)))
    np.testing.assert_allclose(out[3, 3], 0.2 * out[0, 0] + 0.8 * colours(heat)[3, 3], atol=1)


def test_live_heat_lies_on_the_thing_and_never_on_the_robot(scene) -> None:
    solids = (BALL, CRATE, POST)
    surface, image = surface_of(solids), scene[3]
    rows = np.arange(len(surface))
    values = np.where(nearest_solid(surface, solids) == 0, np.float32(1), np.float32(0.4))
    heat = live_heat(image, surface, Relevancy("ball", 0.8, 0.1, rows, values))
    ball = (image.rgb == BALL.colour).all(axis=-1)
    assert heat.max() == pytest.approx(0.8)
    assert ((heat > 0) & ball).sum() / ((heat > 0) | ball).sum() > 0.85
    mask = np.ones(ball.shape, bool)
    mask[:, :160] = False  # the arm hides the left half
    hidden = live_heat(dataclasses.replace(image, mask=mask), surface, Relevancy("ball", 0.8, 0.1, rows, values))
    assert not hidden[:, :157].any()
    np.testing.assert_array_equal(hidden[:, 163:], heat[:, 163:])
