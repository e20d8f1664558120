# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from sim.conftest import SingleScene

from lerf_ros.sim.catalog import CATEGORIES
from lerf_ros.sim.truth import distance_m, object_poses, surface_points


def test_points_of_a_ball_lie_on_the_ball(single: SingleScene) -> None:
    scene = single("ball", (0.5, 0.1))
    radius = float(scene.model.geom("thing/0").size[0])
    centre = np.array(scene.data.geom("thing/0").xpos)
    points = surface_points(scene, 0, 500)
    np.testing.assert_allclose(np.linalg.norm(points - centre, axis=1), radius, atol=1e-9)
    assert distance_m(scene, 0, centre + np.array([0, 0, radius + 0.03])) == pytest.approx(0.03, abs=0.002)


def test_points_of_a_box_lie_on_its_faces(single: SingleScene) -> None:
    scene = single("box", (0.4, -0.1), yaw=0.7)
    pose = object_poses(scene)["thing"]
    local = (surface_points(scene, 0, 3000) - pose[:3, 3]) @ pose[:3, :3]
    low, high = local.min(0), local.max(0)
    on_face = np.minimum(np.abs(local - low), np.abs(local - high)).min(1)
    assert on_face.max() < 1e-4
    assert low[2] == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_has_surface_above_the_table_within_its_place(single: SingleScene, category: str) -> None:
    scene = single(category)
    points = surface_points(scene, 0, 3000)
    assert points[:, 2].min() > -0.004
    assert points[:, 2].max() < 0.2
    assert np.abs(points[:, :2] - [0.42, 0.0]).max() < 0.22
    for part in scene.spec.objects[0].parts:
        assert len(surface_points(scene, 0, 200, part=part)) > 0


def test_a_part_that_is_not_there_is_named(single: SingleScene) -> None:
    with pytest.raises(ValueError, match="thing has no part 'spout'"):
        surface_points(single("ball"), 0, part="spout")
