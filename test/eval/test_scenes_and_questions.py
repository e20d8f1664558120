# SPDX-License-Identifier: Apache-2.0
"""What is asked of a table, written by hand, and which tables are drawn."""

import numpy as np
import pytest

from lerf_ros.errors import EvaluationError
from lerf_ros.eval.questions import ABSENT_KINDS, Question, questions
from lerf_ros.eval.scenes import (
    CALIBRATION_RUN,
    FIRST_SEED,
    NOVEL_M,
    SEEDS_A_RUN,
    calibration_spec,
    novel_poses,
    scene_spec,
)
from lerf_ros.sim.catalog import is_held
from lerf_ros.sim.scan import VIEWPOINTS
from lerf_ros.sim.spec import ObjectSpec, SceneSpec


def thing(category: str, colour: str, name: str = "") -> ObjectSpec:
    return ObjectSpec(name or f"{colour}_{category}", category, colour, (0.4, 0.0), 0.0, 1)


TABLE = SceneSpec(
    7, "green", "gray",
    (
        thing("mug", "red"), thing("mug", "yellow"), thing("mug", "red", "red_mug_2"), thing("can", "blue"),
        thing("apple", "green"), thing("duck", "orange"),
    ),
)  # fmt: skip


def asked(kind: str) -> dict[str, Question]:
    return {q.phrase: q for q in questions(TABLE) if q.type == kind}


def test_every_pair_is_asked_once_and_all_its_instances_are_right() -> None:
    assert set(asked("seen_pair")) == {"a red mug", "a blue can", "a green apple", "an orange duck"}
    assert asked("seen_pair")["a red mug"].objects == (0, 2)
    assert set(asked("withheld_pair")) == {"a yellow mug"}
    assert asked("withheld_pair")["a yellow mug"].objects == (1,)


def test_a_pair_has_a_distractor_where_its_category_stands_there_in_another_colour() -> None:
    assert {q.phrase for q in questions(TABLE) if q.distractor} == {"a red mug", "a yellow mug"}


def test_a_category_is_any_object_of_it() -> None:
    assert {p: q.objects for p, q in asked("category").items()} == {
        "a mug": (0, 1, 2), "a can": (3,), "an apple": (4,), "a duck": (5,),
    }  # fmt: skip


def test_a_colour_is_asked_only_where_one_thing_alone_has_it_the_table_included() -> None:
    # red: two mugs; green: the table is green too
    assert {p: q.objects for p, q in asked("colour").items()} == {
        "a yellow object": (1,), "a blue object": (3,), "an orange object": (5,),
    }  # fmt: skip


def test_absent_phrases_are_true_of_nothing() -> None:
    there = {f"{o.colour} {o.category}" for o in TABLE.objects}
    categories = {o.category for o in TABLE.objects}
    assert len(asked("wrong_colour")) == len(categories)
    for phrase in asked("wrong_colour"):
        _, colour, category = phrase.split()
        assert category in categories
        assert f"{colour} {category}" not in there
    assert len(asked("absent_category")) == 5
    assert all(phrase.split()[-1] not in categories for phrase in asked("absent_category"))
    assert len(asked("unknown_word")) == 4
    assert all(not q.objects for q in questions(TABLE) if q.type in ABSENT_KINDS)


def test_questions_repeat_by_the_scene_alone() -> None:
    assert questions(TABLE) == questions(TABLE)
    other = SceneSpec(8, TABLE.table, TABLE.floor, TABLE.objects)
    assert questions(other) != questions(TABLE)


@pytest.mark.parametrize("index", [0, 1, 2, 5])
def test_scenes_are_as_the_protocol_says(index: int) -> None:
    spec = scene_spec(3, index)
    first = FIRST_SEED + 3 * SEEDS_A_RUN + 200 * index
    assert first <= spec.seed < first + 200
    assert len(spec.objects) >= 6
    pairs = {(o.category, o.colour) for o in spec.objects}
    if index % 3 != 1:
        assert len(pairs) > len({category for category, _ in pairs})
    held = [is_held(o.category, o.colour) for o in spec.objects if o.category not in ("apple", "banana")]
    assert all(held) if index % 3 == 2 else not any(held)


def test_scenes_of_a_seed_do_not_run_into_the_next_seeds() -> None:
    with pytest.raises(EvaluationError, match="500 scenes"):
        scene_spec(0, 500)
    with pytest.raises(EvaluationError, match="seed -1"):
        scene_spec(-1, 0)


def test_scenes_of_the_calibration_are_drawn_alike_and_never_evaluated() -> None:
    spec = calibration_spec(2)
    first = FIRST_SEED + CALIBRATION_RUN * SEEDS_A_RUN + 200 * 2
    assert first <= spec.seed < first + 200
    assert all(is_held(o.category, o.colour) for o in spec.objects if o.category not in ("apple", "banana"))
    for seed in (CALIBRATION_RUN, CALIBRATION_RUN + 1):
        with pytest.raises(EvaluationError, match="calibration was fitted on the scenes of 10000"):
            scene_spec(seed, 0)
    with pytest.raises(EvaluationError, match="500 scenes"):
        calibration_spec(500)


def test_novel_views_are_none_of_the_scan() -> None:
    taken = np.array([v.pose()[:3, 3] for v in VIEWPOINTS])
    poses = novel_poses(TABLE)
    assert len(poses) == 2
    for pose in poses:
        assert np.linalg.norm(taken - pose[:3, 3], axis=1).min() >= NOVEL_M
    assert np.array_equal(novel_poses(TABLE), poses)
