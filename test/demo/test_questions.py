# SPDX-License-Identifier: Apache-2.0
"""What the demonstration asks, and how it judges: against scenes and points whose truth is known."""

import numpy as np
import pytest

from lerf_ros.demo.questions import UNKNOWN_WORDS, questions
from lerf_ros.demo.scenes import EASY, MIN_EASY, MIN_OBJECTS, demo_scene
from lerf_ros.sim.catalog import CATEGORIES


@pytest.mark.parametrize("seed", range(5))
def test_every_scene_has_enough_to_ask_for_and_to_take(seed: int) -> None:
    spec = demo_scene(seed)
    assert len(spec.objects) >= MIN_OBJECTS
    assert sum(item.category in EASY for item in spec.objects) >= MIN_EASY
    assert spec == demo_scene(seed)


@pytest.mark.parametrize("seed", range(5))
def test_present_phrases_are_true_and_absent_ones_are_not(seed: int) -> None:
    spec = demo_scene(seed)
    described = {f"{item.colour} {item.category}" for item in spec.objects}
    categories = {item.category for item in spec.objects}
    asked = questions(spec)
    for question in asked:
        words = question.phrase.split(" ", 1)[1]
        if question.kind == "colour+category":
            assert all(f"{spec.objects[i].colour} {spec.objects[i].category}" == words for i in question.objects)
        elif question.kind == "category":
            assert [spec.objects[i].category for i in question.objects] == [words]
        elif question.kind == "wrong colour":
            assert words not in described
            assert words.split()[1] in categories
        elif question.kind == "absent category":
            assert words.split()[1] in set(CATEGORIES) - categories
        else:
            assert words in UNKNOWN_WORDS
    assert {q.kind for q in asked if not q.objects} == {"wrong colour", "absent category", "unknown word"}
    assert sum(bool(q.objects) for q in asked) >= 6


def test_phrases_use_the_right_article() -> None:
    phrases = [q.phrase for seed in range(20) for q in questions(demo_scene(seed))]
    assert all(p.startswith("an ") == (p.split()[1][0] in "aeiou") for p in phrases)


def test_error_is_the_distance_to_the_surface_of_the_right_object() -> None:
    pytest.importorskip("mujoco")
    from lerf_ros.demo.judge import Judge
    from lerf_ros.sim.scene import build
    from lerf_ros.sim.truth import surface_points

    judge = Judge(build(demo_scene(0)))
    cloud = surface_points(judge.scene, 0, 6000)
    top = cloud[cloud[:, 2].argmax()]
    assert judge.error_m(top, (0,)) < 1e-6
    assert judge.error_m(top + np.array([0, 0, 0.05]), (0,)) == pytest.approx(0.05, abs=1e-3)
    assert judge.error_m(top, (1,)) > 0.02


def test_height_gain_follows_the_pose_of_the_object() -> None:
    from lerf_ros.demo.judge import Judge
    from lerf_ros.sim.scene import build
    from lerf_ros.sim.truth import object_poses

    judge = Judge(build(demo_scene(0)))
    name = judge.scene.spec.objects[1].name
    T = object_poses(judge.scene)[name]
    T[2, 3] += 0.1
    judge.place({name: T})
    assert judge.height_gain_m(1) == pytest.approx(0.1, abs=1e-6)
    np.testing.assert_allclose(object_poses(judge.scene)[name], T, atol=1e-6)
