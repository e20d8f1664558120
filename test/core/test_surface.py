# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
from analytic import CAMERA, Box, Sphere, look_at, render, ring
from scipy.spatial import cKDTree

from lerf_ros.config import SurfaceConfig, WorkspaceConfig
from lerf_ros.core.fusion import DOUBT, REGION, SINCE
from lerf_ros.core.surface import SurfaceBuilder, SurfaceMap

WORKSPACE = WorkspaceConfig(min_m=(-0.3, -0.3, -0.05), max_m=(0.3, 0.3, 0.4))
BALL = Sphere((0.0, 0.0, 0.05), 0.05)
VOXEL = SurfaceConfig().voxel_m


@pytest.fixture(scope="module")
def ball_on_plane() -> SurfaceMap:
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    for k, pose in enumerate(ring(8)):
        image = render([BALL], pose, stamp_ns=100 + k)
        assert image.depth_m is not None
        builder.add(image, image.depth_m)
    return builder.build()


def split(surface: SurfaceMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which points lie on the ball, each point's distance to its surface, and the true normals."""
    points = surface.points.astype(float)
    out = points - BALL.centre
    radial = np.linalg.norm(out, axis=1) - BALL.radius
    on_ball = np.abs(radial) < np.abs(points[:, 2])
    normals = np.where(on_ball[:, None], out / np.linalg.norm(out, axis=1, keepdims=True), (0.0, 0.0, 1.0))
    return on_ball, np.where(on_ball, radial, points[:, 2]), normals


def test_points_lie_on_the_surfaces(ball_on_plane: SurfaceMap) -> None:
    on_ball, distance, _ = split(ball_on_plane)
    assert on_ball.sum() > 700  # 4 pi r^2 = 314 cm^2, about 3/4 of it in view, a point each 25 mm^2
    assert np.abs(distance).max() < 0.2 * VOXEL
    assert ball_on_plane.voxel_m == VOXEL


def test_normals_point_outwards(ball_on_plane: SurfaceMap) -> None:
    _, _, normals = split(ball_on_plane)
    use = ball_on_plane.answerable(3)
    angle = np.degrees(np.arccos(np.clip((normals * ball_on_plane.normals).sum(axis=1), -1, 1)))[use]
    assert np.percentile(angle, 95) < 5
    assert angle.max() < 10  # the last ring of points before the silhouette
    np.testing.assert_allclose(np.linalg.norm(ball_on_plane.normals, axis=1), 1, atol=1e-5)


def test_colours_and_stamps(ball_on_plane: SurfaceMap) -> None:
    on_ball, _, _ = split(ball_on_plane)
    clear = ball_on_plane.points[:, 2] > 0.02
    assert (ball_on_plane.colours[on_ball & clear] == BALL.colour).all()
    assert ball_on_plane.last_seen_ns.min() >= 100
    assert ball_on_plane.last_seen_ns.max() == 107


def test_views_are_counted_exactly() -> None:
    # Six cameras straight above, the fifth and sixth covered on their left half (u < 160).
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    for k in range(6):
        image = render([], look_at((0.0, 0.0, 0.6), (0.0, 0.001, 0.0)), stamp_ns=k)
        assert image.depth_m is not None
        depth = image.depth_m.copy()
        if k >= 4:
            depth[:, :160] = 0
        builder.add(image, depth)
    surface = builder.build()
    u = surface.points @ image.T_world_cam[:3, 0] / 0.6 * CAMERA.fx + CAMERA.cx
    assert set(surface.views[u < 150]) == {4}
    assert set(surface.views[u > 170]) == {6}
    assert surface.answerable(5).sum() == (surface.views >= 5).sum()


def test_a_mask_keeps_the_robot_out() -> None:
    image = render([BALL], ring(1)[0])
    assert image.depth_m is not None
    red = (image.rgb == BALL.colour).all(axis=-1)
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    builder.add(dataclasses.replace(image, mask=~red), image.depth_m)
    assert not split(builder.build())[0].any()


def test_depth_that_was_not_measured_is_no_surface() -> None:
    image = render([], ring(1)[0])
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    for value in (0.0, np.nan, np.inf):
        builder.add(image, np.full((240, 320), value, np.float32))
    assert len(builder.build()) == 0


def test_points_between_near_and_far_surfaces_are_dropped() -> None:
    # A depth camera smears an edge: a column of pixels hangs between a box's top and the table.
    image = render([Box((0.0, 0.0, 0.05), (0.1, 0.1, 0.1))], look_at((0.0, 0.0, 0.6), (0.0, 0.001, 0.0)))
    assert image.depth_m is not None
    depth = image.depth_m.copy()
    rows, cols = np.nonzero(np.diff((depth < 0.55).astype(int), axis=1) == 1)
    depth[rows, cols] = 0.56
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    builder.add(image, depth)
    height = builder.build().points[:, 2]
    assert ((height < 0.01) | (height > 0.09)).all()


def test_nothing_outside_the_workspace() -> None:
    small = WorkspaceConfig(min_m=(-0.1, -0.1, 0.01), max_m=(0.1, 0.1, 0.08))
    builder = SurfaceBuilder(SurfaceConfig(), small)
    image = render([BALL], ring(1)[0])
    assert image.depth_m is not None
    builder.add(image, image.depth_m)
    surface = builder.build()
    assert len(surface) > 100
    assert (surface.points >= np.array(small.min_m) - 1e-6).all()
    assert (surface.points <= np.array(small.max_m) + 1e-6).all()


def test_voxels_grow_to_hold_the_budget_and_keep_counting_views() -> None:
    builder = SurfaceBuilder(SurfaceConfig(max_points=5000), WORKSPACE)
    for k, pose in enumerate(ring(8)):
        image = render([BALL], pose, stamp_ns=k)
        assert image.depth_m is not None
        builder.add(image, image.depth_m)
    surface = builder.build()
    assert 2500 < len(surface) <= 5000
    assert surface.voxel_m > VOXEL
    _, distance, _ = split(surface)
    assert np.percentile(np.abs(distance), 99) < 0.5 * surface.voxel_m
    middle = np.linalg.norm(surface.points[:, :2], axis=1) < 0.2
    assert np.median(surface.views[middle]) >= 6  # merged cells count the union of their views
    assert surface.views.max() <= 8


def test_clear_forgets_everything() -> None:
    builder = SurfaceBuilder(SurfaceConfig(max_points=1000), WORKSPACE)
    image = render([BALL], ring(1)[0])
    assert image.depth_m is not None
    builder.add(image, image.depth_m)
    assert builder.build().voxel_m > VOXEL
    builder.clear()
    assert len(builder.build()) == 0
    assert builder.build().voxel_m == VOXEL


def test_views_known_beforehand_count_without_other_keyframes() -> None:
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    image = render([], look_at((0.0, 0.0, 0.6), (0.0, 0.001, 0.0)))
    assert image.depth_m is not None
    views = np.full(image.depth_m.shape, 4, np.int32)
    views[:, :160] = 1
    builder.add(image, image.depth_m, views)
    surface = builder.build()
    u = surface.points @ image.T_world_cam[:3, 0] / 0.6 * CAMERA.fx + CAMERA.cx
    assert set(surface.views[u < 150]) == {1}
    assert set(surface.views[u > 170]) == {4}


def test_clearing_may_ask_for_larger_voxels_but_not_for_smaller_ones() -> None:
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    for asked, voxel in ((0.02, 0.02), (0.001, VOXEL)):
        builder.clear(asked)
        assert builder.build().voxel_m == voxel


def test_forgetting_a_box_drops_its_points_and_the_next_image_brings_them_back() -> None:
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    image = render([BALL], ring(1)[0])
    assert image.depth_m is not None
    builder.add(image, image.depth_m)
    before = builder.build()
    low, high = np.array((-0.06, -0.06, 0.004)), np.array((0.06, 0.06, 0.2))
    inside = ((before.points >= low) & (before.points <= high)).all(axis=1)
    assert builder.forget(low, high) == inside.sum() > 100
    after = builder.build()
    assert {tuple(p) for p in after.points} == {tuple(p) for p in before.points[~inside]}
    same = (after.points[: inside.argmax()] == before.points[: inside.argmax()]).all()
    assert same  # rows before the gap stay where they are: language of unmoved points is kept by row
    builder.add(image, image.depth_m)
    again = builder.build()
    apart, _ = cKDTree(before.points).query(again.points)
    assert len(again) == len(before)
    assert apart.max() < 1e-6
    assert sorted(again.views) == sorted(np.where(inside, 1, 2))
    assert builder.forget(low - 5, low - 4) == 0


def test_a_cell_that_grows_and_is_in_doubt_keeps_since_when_or_is_in_doubt_no_more() -> None:
    builder = SurfaceBuilder(SurfaceConfig(max_points=2000), WORKSPACE)
    image = render([BALL], look_at((0.0, 0.0, 0.4), (0.0, 0.001, 0.0)))
    assert image.depth_m is not None
    half = image.depth_m.copy()
    half[:, :200] = 0
    builder.add(image, half)
    notes = builder.cells.notes
    notes[:, DOUBT], notes[:, SINCE] = 1000, 7
    notes[: builder.cells.count // 2, REGION] = 3
    before = builder.voxel_m
    for _ in range(3):
        builder.add(image, image.depth_m)
    builder.build()
    assert builder.voxel_m > before
    notes = builder.cells.notes[: builder.cells.count]
    assert (notes[notes[:, DOUBT] > 0, SINCE] == 7).all()
    assert (notes[notes[:, REGION] != 0, SINCE] == 7).all()
