# SPDX-License-Identifier: Apache-2.0
"""Next views on scenes where it is plain what has not been seen."""

import numpy as np
import pytest
from analytic import CAMERA, Box, look_at, render
from known_field import known_config, known_weights
from known_scene import AXES, BALL, CONFIG, CRATE, KnownEncoder, axis, snapshot_of

from lerf_ros.config import Config, SurfaceConfig, from_flat
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.geometry import rotation_angle
from lerf_ros.core.next_views import CLEARANCE_M, SAME_M, SAME_RAD, candidates, rank_views
from lerf_ros.core.surface import SurfaceBuilder, SurfaceMap
from lerf_ros.core.uncertainty import PLAIN, Uncertain, uncertain_surface, unseen_space
from lerf_ros.core.visibility import in_view, splat_depth

WALL = Box((0.0, 0.0, 0.1), (0.02, 0.4, 0.2))
SIDE = [look_at((0.45, y, 0.3), (0.0, y / 2, 0.05)) for y in (-0.15, 0.0, 0.15)]
"""Views of the wall from +x: behind it, at -x, nobody has looked."""


def seen_from(poses: list[np.ndarray], config: Config = CONFIG) -> SurfaceMap:
    builder = SurfaceBuilder(SurfaceConfig(), config.workspace)
    for k, pose in enumerate(poses):
        image = render([WALL], pose, stamp_ns=k + 1)
        assert image.depth_m is not None
        builder.add(image, image.depth_m)
    return builder.build()


def test_points_hide_what_lies_behind_them() -> None:
    x, y = np.meshgrid(np.linspace(-0.1, 0.1, 41), np.linspace(-0.1, 0.1, 41))
    near = np.stack([x.ravel(), y.ravel(), np.full(x.size, 0.5)], axis=1).astype(np.float32)
    camera = CAMERA.scaled(80, 60)
    depth = splat_depth(near, 0.005, camera, np.eye(4))
    assert np.all(depth[20:40, 30:50] == 0.5)
    assert np.isinf(depth[0, 0])
    behind = np.array([[0, 0, 0.52], [0, 0, 0.49], [0.3, 0, 0.7], [0, 0, -0.5], [2.0, 0, 0.5]], np.float32)
    assert in_view(behind, depth, 0.01, camera, np.eye(4)).tolist() == [False, True, True, False, False]


def hidden_cells() -> tuple[SurfaceMap, np.ndarray, float]:
    surface = seen_from(SIDE)
    cells, cell_m = unseen_space(surface, [(CAMERA, pose) for pose in SIDE], CONFIG)
    return surface, cells, cell_m


def test_unseen_is_the_shadow_of_the_wall_and_nothing_before_it() -> None:
    _, cells, cell_m = hidden_cells()
    shadow = (cells[:, 0] < -0.02) & (np.abs(cells[:, 1]) < 0.1) & (cells[:, 2] < 0.1)
    columns = 2 * 0.1 / cell_m * 0.1 / cell_m
    assert shadow.sum() >= 2 * columns  # at least two cells deep
    before = (cells[:, 0] > 0.02 + cell_m) & (cells[:, 0] < 0.2) & (np.abs(cells[:, 1]) < 0.1)
    assert not (before & (cells[:, 2] < 0.15)).any()


def test_the_best_view_of_what_a_wall_hides_is_from_behind_it() -> None:
    surface, cells, cell_m = hidden_cells()
    hidden = cells[(cells[:, 0] < 0) & (np.abs(cells[:, 1]) < 0.15) & (cells[:, 2] < 0.15)]
    uncertain = Uncertain(hidden, np.zeros_like(hidden), np.full(len(hidden), cell_m**2, np.float32))
    views = rank_views(uncertain, surface, CAMERA, CONFIG, 3)
    assert views[0].T_world_cam[0, 3] < 0
    assert views[0].gain > 0.25
    assert sum(view.gain for view in views) <= 1.0 + 1e-6
    assert [view.gain for view in views] == sorted((view.gain for view in views), reverse=True)


def test_candidates_keep_clear_and_within_reach() -> None:
    surface = seen_from(SIDE)
    config = from_flat({"views.reach_m": 0.4, "views.min_distance_m": 0.06, "views.max_distance_m": 0.3}, CONFIG)
    uncertain = Uncertain(surface.points, surface.normals, np.ones(len(surface), np.float32))
    poses = candidates(uncertain, surface, config)
    eyes = poses[:, :3, 3]
    assert len(poses) > 0
    assert np.linalg.norm(eyes, axis=1).max() <= 0.4
    apart = np.linalg.norm(eyes[:, None] - surface.points[None, ::20], axis=2).min()
    assert apart >= CLEARANCE_M
    assert np.allclose(poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1), np.eye(3))


def test_surface_is_not_seen_from_behind() -> None:
    surface = seen_from(SIDE)
    face = (surface.normals[:, 0] > 0.9) & (surface.points[:, 2] > 0.05)
    uncertain = Uncertain(surface.points[face], surface.normals[face], np.ones(face.sum(), np.float32))
    best = rank_views(uncertain, surface, CAMERA, CONFIG, 1)[0]
    assert best.T_world_cam[0, 3] > 0
    assert best.gain > 0.25


def test_nothing_uncertain_needs_no_view() -> None:
    surface = seen_from(SIDE)
    none = Uncertain(surface.points, surface.normals, np.zeros(len(surface), np.float32))
    assert rank_views(none, surface, CAMERA, CONFIG, 3) == []


@pytest.fixture(scope="module")
def view() -> FieldView:
    """Solid below z = 0, as the table of the known scene is."""
    config = known_config(CONFIG)
    grey = np.eye(8, dtype=np.float32)[3]
    return FieldView(known_weights(config, grey, grey, grey, CAMERA, SIDE), config)


def test_the_field_stops_light_at_its_own_surface_alone(view: FieldView) -> None:
    up = np.tile(np.array([0, 0, 1], np.float32), (3, 1))
    points = np.array([[0, 0, 0.0], [0, 0, 0.1], [0.1, 0.1, -0.1]], np.float32)
    stopped = view.stopping(points, up, 0.01)
    assert stopped[0] > 0.9
    assert stopped[1] < 0.05
    assert stopped[2] < 0.05  # light never comes so deep


def test_for_a_phrase_only_what_is_undecided_counts(view: FieldView) -> None:
    snapshot = snapshot_of([BALL, CRATE], [AXES["ball"], AXES["crate"]])
    config = known_config(CONFIG)
    # log-odds 0.5 on the ball, -5 on all else
    phrase = 0.05 * axis(AXES["ball"]) - 0.5 * axis(AXES["crate"]) - 0.5 * axis(AXES["table"]) + 0.705 * axis(5)
    encoder = KnownEncoder({"maybe a ball": np.asarray(phrase, np.float32)})
    everywhere = uncertain_surface(snapshot, view, encoder, config)
    asked = uncertain_surface(snapshot, view, encoder, config, "maybe a ball")
    assert len(asked.points) == len(everywhere.points)
    surface = asked.normals.any(axis=1)
    ball = np.linalg.norm(asked.points - np.array(BALL.centre, np.float32), axis=1) < BALL.radius + 0.01
    on_ball = asked.weights[surface & ball].mean() / everywhere.weights[surface & ball].mean()
    table = surface & (asked.points[:, 2] < 0.005) & (np.abs(asked.points[:, 0]) > 0.2)
    on_table = asked.weights[table].mean() / everywhere.weights[table].mean()
    assert on_ball > 0.8
    known = everywhere.weights[table].mean() / everywhere.weights[surface & ball].mean()
    assert known < 2 * PLAIN  # and without a phrase a table matters less than the things on it
    assert on_table < 0.1


def test_a_view_beside_one_taken_is_not_asked_for_again() -> None:
    surface = seen_from(SIDE)
    face = (surface.normals[:, 0] > 0.9) & (surface.points[:, 2] > 0.05)
    uncertain = Uncertain(surface.points[face], surface.normals[face], np.ones(face.sum(), np.float32))
    taken: list[np.ndarray] = []
    for _ in range(4):
        best = rank_views(uncertain, surface, CAMERA, CONFIG, 1, taken)[0].T_world_cam
        for other in taken:
            turned = rotation_angle(best[:3, :3].T @ other[:3, :3])
            assert np.linalg.norm(best[:3, 3] - other[:3, 3]) >= SAME_M or turned >= SAME_RAD
        taken.append(best)
