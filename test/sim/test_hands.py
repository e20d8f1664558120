# SPDX-License-Identifier: Apache-2.0
"""Things that a person's hand moves: where they were asked to, or refused with a reason and left alone."""

import dataclasses

import mujoco
import numpy as np
import pytest

from lerf_ros.sim import hands
from lerf_ros.sim.scene import Scene, build
from lerf_ros.sim.spec import sample_spec
from lerf_ros.sim.truth import object_poses


@pytest.fixture(scope="module")
def scene() -> Scene:
    spec = sample_spec(3, n_objects=3)
    places = ((0.30, -0.22), (0.30, 0.22), (0.55, 0.0))
    objects = (dataclasses.replace(o, position_xy_m=p) for o, p in zip(spec.objects, places, strict=True))
    return build(dataclasses.replace(spec, objects=tuple(objects)))


def test_a_moved_thing_stands_where_it_was_put(scene: Scene) -> None:
    name = scene.spec.objects[1].name  # a bowl: it does not roll
    others = {n: p for n, p in object_poses(scene).items() if n != name}
    assert hands.move(scene, name, 0.35, 0.05, np.pi / 2).success
    for _ in range(200):
        mujoco.mj_step(scene.model, scene.data)
    scene.forward()
    pose = object_poses(scene)[name]
    np.testing.assert_allclose(pose[:3, 3], (0.35, 0.05, 0.0), atol=3e-3)
    np.testing.assert_allclose(pose[:2, 0], (0.0, 1.0), atol=0.05)  # its x axis points along the world's y
    for other, before in others.items():
        np.testing.assert_allclose(object_poses(scene)[other], before, atol=2e-3)


def test_what_cannot_be_is_refused_and_nothing_moves(scene: Scene) -> None:
    first, second = scene.spec.objects[:2]
    before = object_poses(scene)
    x, y = before[second.name][:2, 3]
    cases = (
        (hands.move(scene, "unicorn", 0.4, 0.0, 0.0), "no object is named 'unicorn'"),
        (hands.move(scene, first.name, 3.0, 0.0, 0.0), "off the table"),
        (hands.move(scene, first.name, float("nan"), 0.0, 0.0), "finite"),
        (hands.move(scene, first.name, x, y, 0.0), f"stand in {second.name!r}"),
        (hands.remove(scene, "unicorn"), "no object is named 'unicorn'"),
    )
    for outcome, why in cases:
        assert not outcome.success
        assert why in outcome.message
    for name, pose in object_poses(scene).items():
        np.testing.assert_allclose(pose, before[name], atol=1e-9)


def test_a_removed_thing_is_out_of_sight_and_may_come_back(scene: Scene) -> None:
    name = scene.spec.objects[2].name
    assert hands.remove(scene, name).success
    assert np.linalg.norm(object_poses(scene)[name][:3, 3]) > 20
    assert hands.move(scene, name, 0.55, 0.0, 0.0).success
    np.testing.assert_allclose(object_poses(scene)[name][:2, 3], (0.55, 0.0), atol=1e-6)
