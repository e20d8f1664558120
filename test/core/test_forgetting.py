# SPDX-License-Identifier: Apache-2.0
"""Which pixels are masked out: a camera at the origin before a wall 2 m away, with a box of 0.2 m half way."""

import dataclasses

import numpy as np
import pytest
from analytic import Box, Sphere, look_at, render, ring
from colour_encoder import ColourEncoder
from mapped_scene import map_ring

from lerf_ros.config import from_flat
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.forgetting import MOST_DUE, RELEARN_STEPS, Forgotten, masked, meets_box, without, without_box
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import KeptImage, Keyframe, MotionGate, PosedImage
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.query import PromptAnswer, QueryRequest, Status, answer
from lerf_ros.core.rays import RayBundle
from lerf_ros.core.sampling import DensityGrid

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


def test_density_cells_that_the_box_reaches_into_begin_anew() -> None:
    grid = DensityGrid(SceneBox(np.zeros(3, np.float32), 1.0), 16, initial=1.0)  # the workspace is cells 4 to 12
    grid.values[:] = 50.0
    grid.forget(np.array([-0.3, 0.0, 0.5]), np.array([0.2, 0.1, 7.0]))
    expected = np.full((16, 16, 16), 50.0, np.float32)
    expected[6:9, 8:9, 10:12] = 1.0  # 8 + 4 x (-0.3, 0.2); 8 + 4 x (0, 0.1); 8 + 4 x (0.5, 1)
    assert np.array_equal(grid.values, expected)


BALL = Sphere((0.08, 0.05, 0.035), 0.035, (200, 30, 30))
CRATE = Box((-0.10, -0.06, 0.03), (0.06, 0.08, 0.06), 0.3, (30, 30, 200))
VIEWS = 8
CONFIG = from_flat(
    {
        "workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3), "train.rays": 256,
        "train.depth_rays": 256, "train.language_rays": 1024, "query.min_steps": 1, "query.min_keyframes": 2,
        "query.found_probability": 0.9,  # a trace stays in what large crops of its surroundings taught
    }
)  # fmt: skip
BOX_LOW, BOX_HIGH = np.array([0.03, 0.0, -0.01]), np.array([0.13, 0.1, 0.1])
NOW_NS = (VIEWS + 1) * 10**9


def ask(mapper: LerfMapper, *phrases: str) -> list[PromptAnswer]:
    return list(answer(mapper.publish(), QueryRequest(phrases), ColourEncoder(), CONFIG, now_ns=NOW_NS))


def test_a_thing_is_forgotten_and_learned_again_and_the_rest_keeps_its_answers() -> None:
    mapper = map_ring(CONFIG, ColourEncoder(), (BALL, CRATE), VIEWS, 150)
    before_red, before_blue = ask(mapper, "red", "blue")
    assert (before_red.status, before_blue.status) == (Status.FOUND, Status.FOUND)
    points = len(mapper.publish().surface)

    forgotten = mapper.forget(BOX_LOW, BOX_HIGH, NOW_NS)

    snapshot = mapper.publish()
    assert forgotten > 100
    assert len(snapshot.surface) == points - forgotten
    assert not ((snapshot.surface.points > BOX_LOW) & (snapshot.surface.points < BOX_HIGH)).all(axis=1).any()
    assert mapper.keyframe_count == VIEWS
    for tolerance in (1e-6, 0.05, 0.05):
        red, blue = ask(mapper, "red", "blue")
        assert red.status is Status.NOT_FOUND, red
        same(blue, before_blue, tolerance)
        for _ in range(50):
            mapper.step()

    for k, pose in enumerate(ring(VIEWS)):  # the same places again
        keyframe = mapper.prepare(render((BALL, CRATE), pose, stamp_ns=NOW_NS + (k + 1) * 10**9))
        assert keyframe is not None
        mapper.add(keyframe)
    for _ in range(50):
        mapper.step()
    red, blue = ask(mapper, "red", "blue")
    assert red.status is Status.FOUND
    assert np.linalg.norm(red.argmax_point - np.array(BALL.centre)) < BALL.radius + 0.02
    same(blue, before_blue, 0.05)


def same(now: PromptAnswer, before: PromptAnswer, tolerance: float) -> None:
    assert now.status is before.status
    assert now.probability == pytest.approx(before.probability, abs=tolerance)
    assert now.relevancy == pytest.approx(before.relevancy, abs=tolerance)
    np.testing.assert_allclose(now.extent.centre, before.extent.centre, atol=max(tolerance * 0.1, 1e-6))


def test_an_image_that_was_on_its_way_does_not_bring_it_back_nor_hold_up_the_next() -> None:
    mapper = map_ring(CONFIG, ColourEncoder(), (BALL, CRATE), 3, 1)
    late = mapper.prepare(render((BALL, CRATE), ring(VIEWS)[5], stamp_ns=NOW_NS - 1))
    mapper.forget(BOX_LOW, BOX_HIGH, NOW_NS)
    mapper.add(late)
    points = mapper.publish().surface.points
    assert not ((points > BOX_LOW) & (points < BOX_HIGH)).all(axis=1).any()
    after = mapper.prepare(render((BALL, CRATE), ring(VIEWS)[5], stamp_ns=NOW_NS + 1))
    assert after is not None, "the same place, but after"
    mapper.add(after)
    points = mapper.publish().surface.points
    assert ((points > BOX_LOW) & (points < BOX_HIGH)).all(axis=1).any()


def test_the_place_is_trained_on_first_once_it_is_seen_again_for_some_steps() -> None:
    before, after, elsewhere = (
        Keyframe.of(k, render((BALL,), pose, stamp_ns=stamp))
        for k, (pose, stamp) in enumerate(
            ((ring(8)[1], 5), (ring(8)[1], 15), (look_at((0.5, 0, 0.5), (2, 0, 0.5)), 15))
        )
    )  # fmt: skip
    forgotten = Forgotten()
    forgotten.add(BOX_LOW, BOX_HIGH, since_ns=10)
    assert forgotten.windows((before,), 100) == ()
    seen = (before, after, elsewhere)
    (window,) = forgotten.windows(seen, 200)
    assert window.frame is after
    assert forgotten.windows(seen, 200 + RELEARN_STEPS - 1) == (window,)
    assert forgotten.windows(seen, 200 + RELEARN_STEPS) == ()


def test_a_frame_being_embedded_while_the_gate_is_reset_is_no_reference() -> None:
    gate, image = MotionGate(CONFIG.keyframes), render((BALL,), ring(1)[0], stamp_ns=5)
    gate.reset(since_ns=5)
    gate.remember(image)
    assert gate.has_moved(dataclasses.replace(image, stamp_ns=6))
    gate.remember(dataclasses.replace(image, stamp_ns=6))
    assert not gate.has_moved(image)


def test_places_that_are_never_seen_again_are_not_waited_for_for_ever() -> None:
    forgotten = Forgotten()
    after = Keyframe.of(0, render((BALL,), ring(8)[1], stamp_ns=10**6))
    for k in range(MOST_DUE + 6):
        forgotten.add(BOX_LOW, BOX_HIGH, since_ns=k)
    found = [window.place.since_ns for window in forgotten.windows((after,), 0)]
    assert found == list(range(6, MOST_DUE + 6))


def test_after_time_jumped_back_images_and_references_are_taken_again() -> None:
    mapper = map_ring(CONFIG, ColourEncoder(), (BALL, CRATE), 3, 1)
    mapper.forget(BOX_LOW, BOX_HIGH, NOW_NS)
    mapper.time_jumped()
    image = render((BALL, CRATE), ring(VIEWS)[5], stamp_ns=5)
    keyframe = mapper.prepare(image)
    assert keyframe is not None
    mapper.add(keyframe)
    assert mapper.store.view()[-1].image.mask is None
    assert mapper.prepare(dataclasses.replace(image, stamp_ns=6)) is None
    mapper.close()
