# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from analytic import Box, Cylinder, Sphere
from known_scene import nearest_solid, surface_of

from lerf_ros.config import GraspConfig
from lerf_ros.core.grasp import GraspCandidate, propose
from lerf_ros.core.segments import segment
from lerf_ros.core.surface import SurfaceMap

GRIPPER = GraspConfig()


def grasps(solids: Sequence[Sphere | Box | Cylinder]) -> tuple[SurfaceMap, tuple[GraspCandidate, ...]]:
    """Return the scene and the grasps of its first solid, which must have a colour of its own."""
    surface = surface_of(solids)
    parts = segment(surface, surface.answerable(3))
    own = (nearest_solid(surface, solids) == 0) & (parts.body > 0)
    points = surface.points[own]
    hot = np.ones(len(points), np.float32)
    return surface, propose(points, surface.normals[own], surface, parts.support_below(points), GRIPPER, hot)


def check_frame(grasp: GraspCandidate) -> None:
    turn = grasp.T_world_tcp[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1)
    assert 0 <= grasp.score <= 1
    assert grasp.score == pytest.approx(grasp.semantic * grasp.geometric)


@pytest.mark.parametrize("yaw", [0.0, 0.5, 1.2])
def test_a_box_is_taken_across_its_short_side(yaw: float) -> None:
    _, found = grasps([Box((0.03, 0.0, 0.03), (0.04, 0.10, 0.06), yaw)])
    best = found[0]
    check_frame(best)
    assert best.width_m - GRIPPER.margin_m == pytest.approx(0.04, abs=0.003)
    short = np.array([np.cos(yaw), np.sin(yaw), 0])
    assert abs(best.T_world_tcp[:3, 1] @ short) > np.cos(np.radians(6))
    np.testing.assert_allclose(best.T_world_tcp[:3, 2], (0, 0, -1), atol=1e-3)
    np.testing.assert_allclose(best.T_world_tcp[:3, 3], (0.03, 0.0, 0.035), atol=0.005)  # tips 4 cm below the top
    assert all(a.score >= b.score for a, b in pairwise(found))


@pytest.mark.parametrize(
    ("solid", "width"), [(Sphere((0.0, 0.02, 0.03), 0.03), 0.06), (Cylinder((0.0, 0.02, 0.06), 0.025, 0.12), 0.05)]
)
def test_round_things_are_taken_through_their_middle(solid: Sphere | Cylinder, width: float) -> None:
    _, found = grasps([solid])
    best = found[0]
    check_frame(best)
    assert best.width_m - GRIPPER.margin_m == pytest.approx(width, abs=0.003)
    np.testing.assert_allclose(best.T_world_tcp[:2, 3], solid.centre[:2], atol=0.004)


def test_fingertips_stay_above_the_table() -> None:
    _, found = grasps([Box((0.0, 0.0, 0.01), (0.03, 0.10, 0.02))])  # 2 cm high: the fingers could reach 2 cm below
    assert found
    for grasp in found:
        tip_m = grasp.T_world_tcp[2, 3] - GRIPPER.tip_beyond_tcp_m
        assert tip_m == pytest.approx(GRIPPER.clearance_m, abs=1e-3)


def test_a_12_cm_wide_box_has_no_grasp() -> None:
    assert grasps([Box((0.0, 0.0, 0.03), (0.12, 0.14, 0.06))])[1] == ()


def test_neighbours_1_cm_beside_block_the_fingers() -> None:
    box = Box((0.0, 0.0, 0.03), (0.05, 0.05, 0.06))
    beside = [Box((s * 0.06, 0.0, 0.03), (0.05, 0.05, 0.06), 0.0, (30, 160, 30)) for s in (-1, 1)]
    assert abs(grasps([box])[1][0].T_world_tcp[0, 1]) > 0.99 or abs(grasps([box])[1][0].T_world_tcp[1, 1]) > 0.99
    surface, found = grasps([box, *beside])
    assert found
    for grasp in found:
        assert abs(grasp.T_world_tcp[1, 1]) > 0.85  # closing along y, never towards a neighbour
        check_clear(surface, grasp, nearest_solid(surface, [box, *beside]) > 0)
    around = [Box((0.0, s * 0.06, 0.03), (0.05, 0.05, 0.06), 0.0, (200, 200, 30)) for s in (-1, 1)]
    assert grasps([box, *beside, *around])[1] == ()


def check_clear(surface: SurfaceMap, grasp: GraspCandidate, others: np.ndarray) -> None:
    """No point of another thing lies in a finger's way, written out independently of the planner."""
    local = (surface.points[others] - grasp.T_world_tcp[:3, 3]) @ grasp.T_world_tcp[:3, :3]
    beyond = np.abs(local[:, 1]) - grasp.width_m / 2
    finger = (np.abs(local[:, 0]) < GRIPPER.finger_width_m / 2) & (beyond > 0) & (beyond < GRIPPER.finger_thickness_m)
    assert not (finger & (local[:, 2] < GRIPPER.tip_beyond_tcp_m)).any()


def test_semantic_score_is_the_relevancy_between_the_fingers() -> None:
    box = Box((0.0, 0.0, 0.03), (0.04, 0.12, 0.06))
    surface = surface_of([box])
    parts = segment(surface, surface.answerable(3))
    own = parts.body == 1
    points = surface.points[own]
    hot = np.where(points[:, 1] > 0.02, 0.9, 0.1).astype(np.float32)
    found = propose(points, surface.normals[own], surface, parts.supports[0], GRIPPER, hot)
    assert found[0].T_world_tcp[1, 3] > 0.01  # off the middle, towards what was asked for
    assert found[0].semantic > 0.6
    assert min(g.semantic for g in found) < 0.3
