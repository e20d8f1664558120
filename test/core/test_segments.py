# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from analytic import Box, Sphere
from known_scene import BALL, CRATE, POST, nearest_solid, surface_of

from lerf_ros.core.extent import oriented_extent
from lerf_ros.core.geometry import matrix_from_quaternion
from lerf_ros.core.segments import Plane, Segments, segment
from lerf_ros.core.surface import SurfaceMap

SOLIDS = (BALL, CRATE, POST)


@pytest.fixture(scope="module")
def scene() -> tuple[SurfaceMap, Segments]:
    surface = surface_of(SOLIDS)
    return surface, segment(surface, surface.answerable(3))


def test_the_table_is_a_plane_and_each_solid_one_thing(scene: tuple[SurfaceMap, Segments]) -> None:
    surface, parts = scene
    assert parts.count == 4
    assert [parts.is_object(k) for k in range(4)] == [False, True, True, True]
    np.testing.assert_allclose(parts.planes[0].normal, (0, 0, 1), atol=1e-4)
    assert abs(parts.planes[0].offset) < 1e-4
    assert parts.supports == parts.planes
    which = nearest_solid(surface, SOLIDS)
    clear = surface.points[:, 2] > 0.008
    for k in range(3):
        things = parts.label[(which == k) & clear & (parts.label >= 0)]
        assert len(set(things.tolist())) == 1
    assert (parts.label[(which == -1) & (surface.points[:, 2] < 0.001) & surface.answerable(3)] == 0).all()


def test_points_left_out_have_no_label_but_belong_to_a_body(scene: tuple[SurfaceMap, Segments]) -> None:
    surface, parts = scene
    rare = ~surface.answerable(3)
    assert (parts.label[rare] == -1).all()
    sides = rare & (surface.points[:, 2] > 0.015)
    assert sides.sum() > 10
    assert (parts.body[sides] > 0).mean() > 0.95
    assert (parts.body[parts.label >= 0] == parts.label[parts.label >= 0]).all()


def test_two_boxes_15_mm_apart_stay_two_things() -> None:
    surface = surface_of([Box((0.0, 0.0, 0.03), (0.05, 0.05, 0.06)), Box((0.065, 0.0, 0.03), (0.05, 0.05, 0.06))])
    assert segment(surface, surface.answerable(3)).count == 3


def test_two_boxes_of_two_colours_8_mm_apart_are_two_things() -> None:
    red = Box((0.058, 0.0, 0.03), (0.05, 0.05, 0.06), 0.0, (200, 30, 30))
    surface = surface_of([Box((0.0, 0.0, 0.03), (0.05, 0.05, 0.06)), red])
    assert segment(surface, surface.answerable(3)).count == 3


def test_plates_of_one_height_are_no_shelf() -> None:
    plates = [Box((x, y, 0.008), (0.19, 0.19, 0.016), 0.0, (30, 60, 200)) for x in (-0.11, 0.11) for y in (-0.11, 0.11)]
    surface = surface_of(plates)
    parts = segment(surface, surface.answerable(3))
    assert len(parts.planes) == 1  # 4 x 0.036 m^2 would be enough, but they are four patches
    assert parts.count == 5


def test_nothing_is_split_when_nothing_is_asked(scene: tuple[SurfaceMap, Segments]) -> None:
    surface, _ = scene
    empty = segment(surface, np.zeros(len(surface), bool))
    assert empty.count == 0
    assert (empty.label == -1).all()


def test_box_of_a_turned_box(scene: tuple[SurfaceMap, Segments]) -> None:
    surface, parts = scene
    points = surface.points[parts.body == parts.label[nearest(surface, parts, CRATE.centre)]]
    support = parts.support_below(points)
    assert support is parts.planes[0]
    box = oriented_extent(points, support)
    np.testing.assert_allclose(box.centre, CRATE.centre, atol=0.003)
    np.testing.assert_allclose(box.size, (0.08, 0.04, 0.06), atol=0.003)
    long_side = matrix_from_quaternion(*box.quaternion.tolist())[:, 0]
    expected = np.array([-np.sin(CRATE.yaw), np.cos(CRATE.yaw), 0])  # its y side is the longer one
    assert abs(long_side @ expected) > 0.999


def test_a_thing_seen_only_from_above_still_stands_on_the_table() -> None:
    rng = np.random.default_rng(0)
    top = np.column_stack([rng.uniform(-0.02, 0.02, (200, 2)), np.full(200, 0.1)]).astype(np.float32)
    box = oriented_extent(top, Plane(np.array([0.0, 0.0, 1.0]), 0.0))
    assert box.size[2] == pytest.approx(0.1, abs=1e-6)
    assert box.centre[2] == pytest.approx(0.05, abs=1e-6)
    assert oriented_extent(top, None).size[2] == pytest.approx(0.0, abs=1e-6)


def test_what_floats_has_no_support(scene: tuple[SurfaceMap, Segments]) -> None:
    _, parts = scene
    assert parts.support_below(np.array([[0.0, 0.0, 0.4]], np.float32)) is None


def nearest(surface: SurfaceMap, parts: Segments, centre: tuple[float, float, float]) -> int:
    distance = np.linalg.norm(surface.points - np.array(centre), axis=1)
    distance[parts.label < 1] = np.inf
    return int(distance.argmin())


def test_a_small_high_shelf_is_a_plane_of_its_own() -> None:
    shelf = Box((0.0, 0.1, 0.05), (0.4, 0.2, 0.1))  # 0.08 m^2 on top
    ball = Sphere((0.0, 0.1, 0.13), 0.03)
    surface = surface_of([shelf, ball])
    parts = segment(surface, surface.answerable(3))
    heights = sorted(p.offset for p in parts.supports)
    np.testing.assert_allclose(heights, [0.0, 0.1], atol=1e-3)
    top = surface.points[(surface.colours == ball.colour).all(axis=1) & (parts.label > 0)]
    support = parts.support_below(top)
    assert support is not None
    assert support.offset == pytest.approx(0.1, abs=1e-3)
