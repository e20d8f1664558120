# SPDX-License-Identifier: Apache-2.0
"""What is rendered from a snapshot, and from where nothing is: a ball and a crate on a table."""

import math

import numpy as np
import pytest
from analytic import Box, Sphere, look_at, render, ring
from colour_encoder import ColourEncoder
from mapped_scene import map_ring

from lerf_ros.config import from_flat
from lerf_ros.core.sightseeing import Sightseer, pinhole
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import PoseError, PromptError, RequestError

BALL = Sphere((0.08, 0.05, 0.035), 0.035, (200, 30, 30))
CRATE = Box((-0.10, -0.06, 0.03), (0.06, 0.08, 0.06), 0.3, (30, 30, 200))
CONFIG = from_flat(
    {
        "workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3), "train.rays": 256,
        "train.depth_rays": 256, "train.language_rays": 1024, "query.min_steps": 1, "query.min_keyframes": 2,
    }
)  # fmt: skip
SMALL = pinhole(80, 60, 0.75, 10_000)
POSE = ring(16)[1]


@pytest.fixture(scope="module")
def snapshot() -> FieldSnapshot:
    made = map_ring(CONFIG, ColourEncoder(), (BALL, CRATE), 8, 300).publish()
    assert made is not None
    return made


def test_colour_depth_and_relevancy_are_those_of_the_scene(snapshot: FieldSnapshot) -> None:
    truth = render((BALL, CRATE), POSE, camera=SMALL)
    seen = Sightseer(ColourEncoder()).look(snapshot, CONFIG, SMALL, POSE, "red")
    ball, crate = ((truth.rgb == thing.colour).all(axis=-1) for thing in (BALL, CRATE))
    close = np.linalg.norm(np.indices(ball.shape).T - np.argwhere(ball).mean(axis=0), axis=-1).T < 25
    assert ball.sum() > 50
    assert np.median(np.abs(seen.depth_m - truth.depth_m)[truth.depth_m > 0]) < 0.03
    np.testing.assert_allclose(np.median(seen.rgb[crate], axis=0), CRATE.colour, atol=40)
    assert np.nanmedian(seen.relevancy[ball]) > 0.8
    assert np.nanmedian(seen.relevancy[~close]) < 0.7
    assert np.nanmin(seen.relevancy) >= 0
    assert np.nanmax(seen.relevancy) <= 1
    assert Sightseer(ColourEncoder()).look(snapshot, CONFIG, SMALL, POSE).relevancy is None


def test_where_nothing_is_met_depth_is_not_a_number(snapshot: FieldSnapshot) -> None:
    config = from_flat({"input.depth_max_m": 1.5}, CONFIG)
    up = Sightseer(ColourEncoder()).look(snapshot, config, SMALL, look_at((0, 0, 0.2), (0.01, 0, 5)), "red")
    assert np.isnan(up.depth_m).mean() > 0.9
    assert np.isnan(up.relevancy[np.isnan(up.depth_m)]).all()
    assert up.rgb.dtype == np.uint8


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        (BALL.centre, True),
        (CRATE.centre, True),
        ((0.0, 0.1, -0.002), True),  # in the table's top
        ((0.0, 0.1, -0.03), True),  # just beneath it
        ((0.08, 0.05, 0.073), True),  # less than a voxel above the ball
        ((0.08, 0.05, 0.2), False),
        ((0.0, 0.1, 0.1), False),
    ],
)
def test_a_camera_inside_a_thing_or_the_table_is_refused(
    snapshot: FieldSnapshot, at: tuple[float, float, float], inside: bool
) -> None:
    pose = look_at(at, (at[0] + 0.3, at[1], at[2]))
    sightseer = Sightseer(ColourEncoder())
    if inside:
        with pytest.raises(PoseError, match="inside"):
            sightseer.look(snapshot, CONFIG, SMALL, pose)
    else:
        assert sightseer.look(snapshot, CONFIG, SMALL, pose).rgb.shape == (60, 80, 3)


def test_a_phrase_that_cannot_be_asked_is_refused(snapshot: FieldSnapshot) -> None:
    with pytest.raises(PromptError):
        Sightseer(ColourEncoder()).look(snapshot, CONFIG, SMALL, POSE, "x" * 5000)


@pytest.mark.parametrize(
    ("width", "height", "fov"),
    [(0, 10, 1.0), (10, 0, 1.0), (101, 100, 1.0), (10, 10, math.pi), (10, 10, -1.0), (10, 10, math.nan)],
)
def test_an_image_without_pixels_with_too_many_or_without_a_view_is_refused(
    width: int, height: int, fov: float
) -> None:
    with pytest.raises(RequestError):
        pinhole(width, height, fov, 10_000)


def test_the_field_of_view_is_from_edge_to_edge() -> None:
    camera = pinhole(100, 100, 2 * math.atan(0.5), 10_000)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((100, 100, 49.5, 49.5))
