# SPDX-License-Identifier: Apache-2.0
import numpy as np

from lerf_ros.sim.catalog import (
    CATEGORIES,
    HELD_COLOURS,
    NATURAL_COLOURS,
    is_held,
    pairs,
    possible_colours,
    with_article,
)
from lerf_ros.sim.scene import build, scene_xml
from lerf_ros.sim.spec import WORKSPACE_X_M, WORKSPACE_Y_M, sample_spec


def test_the_same_seed_gives_the_same_scene_and_another_seed_another() -> None:
    first, again, other = (sample_spec(s, n_objects=6) for s in (5, 5, 6))
    assert first == again
    assert scene_xml(first)[0] == scene_xml(again)[0]
    assert scene_xml(first)[1].files == scene_xml(again)[1].files
    assert first != other


def test_seen_scenes_never_hold_a_withheld_pair_and_held_scenes_only_those() -> None:
    seen = [o for s in range(150) for o in sample_spec(s, choice="seen").objects]
    held = [o for s in range(150) for o in sample_spec(s, choice="held").objects]
    assert not any(is_held(o.category, o.colour) for o in seen)
    assert all(is_held(o.category, o.colour) for o in held if o.category not in NATURAL_COLOURS)
    assert {o.category for o in seen} == {o.category for o in held} == set(CATEGORIES)


def test_the_catalogue_has_159_pairs_of_which_28_are_withheld() -> None:
    # 14 categories x 11 colours + banana 2 + apple 3, two colours withheld in each of the 14
    assert len(pairs(held=False)) == 131
    assert len(pairs(held=True)) == 28
    assert all(set(colours) <= set(possible_colours(c)) for c, colours in HELD_COLOURS.items())


def test_names_are_unique_and_say_what_the_object_is() -> None:
    spec = sample_spec(3, n_objects=12)
    names = [o.name for o in spec.objects]
    assert len(set(names)) == len(names)
    for o in spec.objects:
        assert o.category in o.name
        assert o.colour is not None
        assert o.name.startswith(o.colour)


def test_objects_stay_where_they_were_put() -> None:
    for seed in range(6):
        spec = sample_spec(seed, n_objects=8)
        scene = build(spec)
        for item in spec.objects:
            x, y, z = scene.data.body(item.name).xpos
            assert WORKSPACE_X_M[0] - 0.03 < x < WORKSPACE_X_M[1] + 0.03
            assert WORKSPACE_Y_M[0] - 0.03 < y < WORKSPACE_Y_M[1] + 0.03
            assert np.hypot(x - item.position_xy_m[0], y - item.position_xy_m[1]) < 0.02, item.name
            assert -0.005 < z < 0.01, item.name


def test_building_twice_gives_bit_equal_states() -> None:
    spec = sample_spec(2, n_objects=6)
    np.testing.assert_array_equal(build(spec).data.qpos, build(spec).data.qpos)


def test_articles() -> None:
    assert [with_article(w) for w in ("orange mug", "red apple")] == ["an orange mug", "a red apple"]
