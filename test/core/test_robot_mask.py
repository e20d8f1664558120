# SPDX-License-Identifier: Apache-2.0
"""Outlines of shapes against rays: a pixel shows a shape exactly if its ray meets it."""

import cv2
import numpy as np
import pytest
from jaxtyping import Bool, Float64

from lerf_ros.core.geometry import Intrinsics, invert
from lerf_ros.core.robot_mask import Hull, distance_m, robot_mask

CAMERA = Intrinsics(320, 240, 280.0, 270.0, 158.3, 121.2)


def pose(x: float, y: float, z: float, turn: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = cv2.Rodrigues(np.array(turn, float))[0]
    T[:3, 3] = x, y, z
    return T


def rays() -> Float64[np.ndarray, "H W 3"]:
    v, u = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width].astype(float)
    return CAMERA.unproject(u.ravel(), v.ravel()).astype(float).reshape(*u.shape, 3)


def meets_ball(T: np.ndarray, radius: float) -> Bool[np.ndarray, "H W"]:
    """The cone of the ball, exactly: (d . c)^2 >= |d|^2 (|c|^2 - r^2), in front."""
    d, c = rays(), T[:3, 3]
    along = d @ c
    return (along**2 >= (d**2).sum(-1) * (c @ c - radius**2)) & (along > 0)


def meets_box(T: np.ndarray, size: tuple[float, float, float]) -> Bool[np.ndarray, "H W"]:
    T_box_cam = invert(T)
    d, o = rays() @ T_box_cam[:3, :3].T, T_box_cam[:3, 3]
    half = np.array(size) / 2
    with np.errstate(divide="ignore"):
        t1, t2 = (-half - o) / d, (half - o) / d
    near, far = np.minimum(t1, t2).max(-1), np.maximum(t1, t2).min(-1)
    return (near <= far) & (far > 0)


def mask(shape: Hull, T: np.ndarray, padding_m: float = 0.0) -> Bool[np.ndarray, "H W"]:
    return robot_mask([(shape, T)], CAMERA, padding_m).robot


def check(drawn: Bool[np.ndarray, "H W"], exact: Bool[np.ndarray, "H W"], slack_px: int) -> None:
    """Nothing of the shape is missing, and nothing farther from it than `slack_px` is drawn."""
    assert not (exact & ~drawn).any(), f"{(exact & ~drawn).sum()} pixels of the robot are not masked"
    side = 2 * slack_px + 1
    wide = cv2.dilate(exact.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
    assert not (drawn & ~wide).any(), f"{(drawn & ~wide).sum()} pixels are masked without reason"


BALLS = [
    (pose(0.02, -0.01, 0.5), 0.08),
    (pose(0.4, 0.2, 0.6), 0.1),  # half out of the image, where its outline is a long ellipse
    (pose(0.1, 0.0, 0.02), 0.09),  # beside the camera, reaching behind it
    (pose(-0.09, 0.05, -0.004), 0.092),  # its centre is behind the image plane, but it is seen: a hyperbola
    (pose(0.0, 0.0, 0.12), 0.1),  # larger than the image
]


@pytest.mark.parametrize(("T", "radius"), BALLS)
def test_a_ball_is_its_exact_conic(T: np.ndarray, radius: float) -> None:
    exact = meets_ball(T, radius)
    assert exact.any()
    check(mask(Hull.sphere(radius), T), exact, slack_px=3)


@pytest.mark.parametrize(("T", "radius"), BALLS[:2])
def test_padding_of_a_ball_is_a_larger_ball(T: np.ndarray, radius: float) -> None:
    check(mask(Hull.sphere(radius), T, 0.03), meets_ball(T, radius + 0.03), slack_px=3)


BOXES = [
    (pose(0.0, 0.0, 0.6, (0.3, 0.5, 0.2)), (0.2, 0.1, 0.3)),
    (pose(0.3, -0.1, 0.5, (0.0, 0.7, 0.0)), (0.3, 0.2, 0.1)),
    (pose(0.12, 0.02, 0.05, (0.2, 0.1, 0.4)), (0.04, 0.05, 0.6)),  # crosses the image plane
    (pose(0.0, 0.3, 0.0, (0.0, 0.0, 0.3)), (2.0, 0.02, 2.0)),  # a plate under the camera, from behind it to the horizon
]


@pytest.mark.parametrize(("T", "size"), BOXES)
def test_a_box_is_its_exact_polygon(T: np.ndarray, size: tuple[float, float, float]) -> None:
    exact = meets_box(T, size)
    assert exact.any()
    check(mask(Hull.box(size), T), exact, slack_px=2)  # a corner may reach beyond the last pixel's centre


@pytest.mark.parametrize(("T", "size"), BOXES)
def test_a_padded_box_covers_all_within_the_padding(T: np.ndarray, size: tuple[float, float, float]) -> None:
    grown = tuple(s + 0.02 for s in size)
    drawn = mask(Hull.box(size), T, 0.01)
    assert not (meets_box(T, (size[0] + 0.02, size[1], size[2])) & ~drawn).any()
    assert not (drawn & ~cv2.dilate(meets_box(T, grown).astype(np.uint8), np.ones((7, 7))).astype(bool)).any()


def test_a_capsule_is_the_hull_of_its_balls() -> None:
    T, radius, length = pose(0.05, 0.0, 0.2, (0.1, 1.4, 0.0)), 0.03, 0.5  # one end lies behind the camera
    drawn = mask(Hull.capsule(radius, length), T)
    exact = np.zeros_like(drawn)
    for z in np.linspace(-length / 2, length / 2, 400):
        ball = T @ pose(0, 0, z)
        if np.linalg.norm(ball[:3, 3]) > radius:
            exact |= meets_ball(ball, radius)
    check(drawn, exact, slack_px=4)


def test_a_cylinder_lies_between_the_prisms_within_and_around_it() -> None:
    T, radius, length = pose(0.0, 0.05, 0.5, (0.9, 0.3, 0.0)), 0.06, 0.2
    drawn = mask(Hull.cylinder(radius, length), T)
    within = np.zeros_like(drawn)
    for angle in np.linspace(0, np.pi, 60):  # boxes inscribed in the cylinder, turned about its axis
        side = radius * np.sqrt(2)
        within |= meets_box(T @ pose(0, 0, 0, (0, 0, angle)), (side, side, length))
    check(drawn, within, slack_px=2)


@pytest.mark.parametrize("shape", [Hull.sphere(0.1), Hull.box((0.2, 0.2, 0.2)), Hull.cylinder(0.1, 0.2)])
def test_nothing_of_a_shape_behind_the_camera_is_seen(shape: Hull) -> None:
    assert not mask(shape, pose(0.0, 0.0, -0.4), 0.02).any()
    assert not mask(shape, pose(0.2, 0.0, -0.3), 0.02).any()


@pytest.mark.parametrize("shape", [Hull.sphere(0.05), Hull.box((0.1, 0.1, 0.1)), Hull.capsule(0.04, 0.1)])
def test_the_housing_of_the_camera_is_left_out_and_named(shape: Hull) -> None:
    other = (Hull.sphere(0.05), pose(0.0, 0.0, 0.4))
    both = robot_mask([other, (shape, pose(0.0, 0.0, 0.01))], CAMERA, 0.01)
    assert both.around_camera == (1,)
    np.testing.assert_array_equal(both.robot, robot_mask([other], CAMERA, 0.01).robot)


def test_padding_does_not_swallow_a_camera_that_is_near() -> None:
    T, size = pose(0.0, 0.015, 0.0), (0.2, 0.01, 0.2)  # a plate 1 cm under the camera
    drawn = mask(Hull.box(size), T, padding_m=0.05)
    assert not drawn[:60].any(), "the padded plate's cone opens by arcsin(0.9), up to 26 degrees below the upright"
    assert not (meets_box(T, size) & ~drawn).any()


def test_random_boxes_in_all_places() -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(150):
        T = pose(*rng.uniform(-0.4, 0.4, 3), tuple(rng.uniform(-2, 2, 3)))
        size = tuple(rng.uniform(0.02, 0.3, 3))
        if distance_m(Hull.box(size), T, np.zeros(3)) < 1e-3:
            continue
        exact = meets_box(T, size)
        seen += exact.any()
        check(mask(Hull.box(size), T), exact, slack_px=5)  # slivers reach far beyond their last pixel's centre
    assert seen > 10


def test_distances_to_shapes() -> None:
    T = pose(1.0, 0.0, 0.0, (0.0, 0.0, np.pi / 2))
    assert distance_m(Hull.box((0.2, 0.4, 0.2)), T, np.zeros(3)) == pytest.approx(0.8)
    assert distance_m(Hull.sphere(0.3), T, np.zeros(3)) == pytest.approx(0.7)
    assert distance_m(Hull.box((4.0, 4.0, 4.0)), T, np.zeros(3)) == pytest.approx(0.0, abs=1e-9)
    assert distance_m(Hull.capsule(0.1, 1.0), pose(0, 0, 2.0), np.zeros(3)) == pytest.approx(1.4)


