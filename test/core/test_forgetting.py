# SPDX-License-Identifier: Apache-2.0
"""Which pixels are masked out: a camera at the origin before a wall 2 m away, with a box of 0.2 m half way."""

import numpy as np
import pytest

from lerf_ros.core.forgetting import masked, meets_box, without, without_box
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import KeptImage, PosedImage
from lerf_ros.core.rays import RayBundle

CAMERA = Intrinsics(40, 30, 40.0, 40.0, 19.5, 14.5)
LOW, HIGH = np.array([-0.1, -0.1, 0.9]), np.array([0.1, 0.1, 1.1])
BLOCK = (slice(11, 19), slice(16, 24))  # |u - 19.5| / 40 <= 0.1: u 16..23; v 11..18


def view(holes: bool = False, depth: bool = True, mask: np.ndarray | None = None) -> KeptImage:
    depth_m = np.full((30, 40), 2.0, np.float32)
    depth_m[BLOCK] = 1.0
    if holes:
        depth_m[:, :20] = 0
    rgb = np.zeros((30, 40, 3), np.uint8)
    return KeptImage.of(PosedImage(0, rgb, depth_m if depth else None, CAMERA, np.eye(4), mask=mask))


def block() -> np.ndarray:
    out = np.zeros((30, 40), bool)
    out[BLOCK] = True
    return out


def test_pixels_whose_measured_point_is_gone_are_masked_out_and_no_others() -> None:
    near = without(view(), lambda points: points[:, 2] < 1.5)
    assert np.array_equal(near.mask, ~block())
    assert near.depth is view().depth or np.array_equal(near.depth_m, view().depth_m)


def test_an_image_of_which_nothing_is_gone_or_without_depth_is_returned_itself() -> None:
    for image in (view(), view(depth=False)):
        assert without(image, lambda points: points[:, 2] > 3) is image
    assert without(view(depth=False), lambda points: points[:, 2] < 9).bits is None


def test_what_was_masked_out_stays_so() -> None:
    mask = np.ones((30, 40), bool)
    mask[:, :18] = False
    image = without(view(mask=mask), lambda points: points[:, 2] < 1.5)
    assert np.array_equal(image.mask, mask & ~block())
    assert masked(image, block()) is image


def test_a_box_takes_what_was_measured_in_it_and_leaves_the_wall_behind() -> None:
    assert np.array_equal(without_box(view(), LOW, HIGH).mask, ~block())
    above = without_box(view(), LOW - [0, 5, 0], HIGH - [0, 5, 0])  # out of sight
    assert above.bits is None


def test_where_depth_is_not_measured_every_ray_that_meets_the_box_is_masked_out() -> None:
    # The nearest face, at 0.9 m, is hit by |u - 19.5| / 40 <= 0.1 / 0.9: u 16..23 (4.4 pixels), v 11..18
    blind = without_box(view(depth=False), LOW, HIGH)
    assert np.array_equal(blind.mask, ~block())
    holes = without_box(view(holes=True), LOW, HIGH)
    assert np.array_equal(holes.mask, ~block())


def test_rendered_depth_decides_where_nothing_was_measured() -> None:
    rendered = np.full((15, 20), 2.0, np.float32)  # half the size: the wall alone
    assert without_box(view(depth=False), LOW, HIGH, rendered).bits is None
    rendered[6:9] = 1.0  # rows 12..17 of the image
    mask = without_box(view(depth=False), LOW, HIGH, rendered).mask
    expected = np.ones((30, 40), bool)
    expected[12:18, 16:24] = False
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize(
    ("origin", "direction", "meets"),
    [
        ((0, 0, 0), (0, 0, 1), True),
        ((0, 0, 0), (0, 0, -1), False),  # behind
        ((0, 0, 1), (1, 0, 0), True),  # from inside
        ((0, 0, 2), (0, 0, 1), False),  # past it
        ((0.2, 0, 0), (0, 0, 1), False),  # beside it, along two faces
        ((-1, 0, 0), (1, 0, 1), True),  # across
    ],
)
def test_rays_and_a_box(origin: tuple[float, ...], direction: tuple[float, ...], meets: bool) -> None:
    rays = RayBundle(np.array([origin], np.float32), np.array([direction], np.float32), np.ones(1, np.float32))
    assert meets_box(rays, LOW, HIGH)[0] == meets
