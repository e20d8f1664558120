# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
import torch
from analytic import Box
from known_scene import (
    AXES,
    BALL,
    CONFIG,
    CRATE,
    POST,
    SECOND_BALL,
    VIEWS,
    KnownEncoder,
    blend,
    nearest_solid,
    snapshot_of,
)

from lerf_ros.config import Config, from_flat
from lerf_ros.core.calibration import Calibration
from lerf_ros.core.query import PromptAnswer, QueryRequest, Status, answer, best_places, heat_maps
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import EncoderError, PromptError

SOLIDS = (BALL, CRATE, POST)
NOW = (VIEWS + 2) * 10**9  # two seconds after the newest keyframe


@pytest.fixture(scope="module")
def snapshot() -> FieldSnapshot:
    return snapshot_of(SOLIDS, (AXES["ball"], AXES["crate"], AXES["post"]))


def ask(snapshot: FieldSnapshot | None, *prompts: str, encoder: KnownEncoder | None = None, config: Config = CONFIG,
        now_ns: int = NOW, **request: object) -> tuple[PromptAnswer, ...]:  # fmt: skip
    return answer(snapshot, QueryRequest(prompts, **request), encoder or KnownEncoder(), config, now_ns)  # type: ignore[arg-type]


@pytest.mark.parametrize(("phrase", "solid"), [("ball", BALL), ("crate", CRATE), ("post", POST)])
def test_found_where_it_is(snapshot: FieldSnapshot, phrase: str, solid: object) -> None:
    (found,) = ask(snapshot, phrase)
    assert found.status is Status.FOUND
    assert found.message == ""
    # e.q = 1 and e.c = 0 for all canonical phrases: sigmoid(10), a probability of sigmoid(-2 + 5 x 10)
    assert found.relevancy == pytest.approx(1 / (1 + np.exp(-10)), abs=1e-5)
    assert found.probability == pytest.approx(1, abs=1e-6)
    assert found.scale_m == pytest.approx(0.1)
    assert found.points is not None
    assert found.colours is not None
    assert found.point_relevancy is not None
    assert found.extent is not None
    assert found.argmax_point is not None
    assert (found.colours[found.points[:, 2] > 0.01] == solid.colour).all()  # type: ignore[attr-defined]
    assert np.abs(found.points - found.argmax_point).sum(axis=1).min() == 0
    np.testing.assert_allclose(found.extent.centre, solid.centre, atol=0.004)  # type: ignore[attr-defined]
    (only,) = found.instances
    np.testing.assert_array_equal(only.extent.centre, found.extent.centre)
    assert (only.probability, only.relevancy, only.scale_m) == (found.probability, found.relevancy, found.scale_m)
    assert len(found.point_relevancy) == len(found.points)


def test_a_table_is_found_as_a_whole_and_is_never_ambiguous(snapshot: FieldSnapshot) -> None:
    (found,) = ask(snapshot, "table")
    assert found.status is Status.FOUND
    assert found.extent is not None
    assert found.extent.size[2] < 0.01
    assert found.extent.size[0] > 0.4


def test_absent_things_are_not_found_and_the_best_score_is_told(snapshot: FieldSnapshot) -> None:
    (found,) = ask(snapshot, "elephant")
    assert found.status is Status.NOT_FOUND
    assert found.relevancy == pytest.approx(0.5, abs=1e-4)  # as unlike everything as the canonical phrases
    assert "0.50" in found.message
    assert found.argmax_point is None
    assert found.points is None


def test_answers_keep_the_order_and_bad_phrases_spoil_only_themselves(snapshot: FieldSnapshot) -> None:
    prompts = ("post", "", "  \t", "x" * 10_000, "a\0b", "\ud800", "ball", "Kätzchen 猫 🐈", "post")
    found = ask(snapshot, *prompts)
    assert [a.prompt for a in found] == list(prompts)
    bad, fine = Status.BAD_REQUEST, Status.FOUND
    assert [a.status for a in found] == [fine, bad, bad, bad, bad, bad, fine, Status.NOT_FOUND, fine]
    for k, word in ((1, "empty"), (2, "white space"), (3, "10000 bytes"), (4, "NUL"), (5, "Unicode")):
        assert word in found[k].message


def test_two_equal_things_are_ambiguous_and_all_of_them_are_told_best_first() -> None:
    twins = snapshot_of((BALL, SECOND_BALL, POST), (0, 0, 2))  # both balls have the same colour, hence the same axis
    (found,) = ask(twins, "ball")
    assert found.status is Status.AMBIGUOUS
    assert "2 things match about equally" in found.message
    assert found.points is not None  # the best of them is described
    centres = sorted(tuple(np.round(each.extent.centre[:2], 2)) for each in found.instances)
    assert centres == [(-0.02, -0.16), (0.0, 0.0)]
    # 'weak' has cosine .8 to the ball, .6 to the post: relevancies sigmoid(8), sigmoid(6), 0.2 % apart above .5
    weak = KnownEncoder({"weak": np.array([0.8, 0, 0.6, 0, 0, 0, 0, 0], np.float32)})
    (both,) = ask(snapshot_of((BALL, POST), (0, 2)), "weak", encoder=weak)
    assert both.status is Status.AMBIGUOUS
    assert [each.relevancy for each in both.instances] == pytest.approx([1 / (1 + np.exp(-8)), 1 / (1 + np.exp(-6))])
    np.testing.assert_allclose(both.instances[1].extent.centre, POST.centre, atol=0.006)
    # at cosines .9 and .05: sigmoid(.5) = .62, .12 above .5 where .7 x .5 would be needed
    clear = KnownEncoder({"clear": np.array([0.9, 0, 0.05, 0, np.sqrt(0.1875), 0, 0, 0], np.float32)})
    assert ask(snapshot_of((BALL, POST), (0, 2)), "clear", encoder=clear)[0].status is Status.FOUND


def test_a_thing_that_another_phrase_names_better_is_not_found() -> None:
    # 'cup' has cosine .6 to the ball's axis: by itself sigmoid(-2 + 5 x 6), surely there. But the null phrase 'ball'
    # fits the same thing with 10: the margin is -4, and with a weight of 9 the probability sigmoid(-2 + 30 - 36).
    words = {"cup": blend(AXES["ball"], 0.6)}
    balls = snapshot_of((BALL, POST), (0, 2))
    alone = KnownEncoder(words)
    assert ask(balls, "cup", encoder=alone)[0].status is Status.FOUND
    knowing = KnownEncoder(words)
    knowing.calibration = Calibration(-2.0, 5.0, 9.0, ("ball", "post"))
    again = dataclasses.replace(balls)  # another snapshot: null fits are kept for each
    (found,) = ask(again, "cup", encoder=knowing)
    assert found.status is Status.NOT_FOUND
    (place,) = best_places(again, QueryRequest(("cup",)), knowing, CONFIG)
    assert place is not None
    (ball,) = (match for match in place.matches if match.fit > 1)
    assert ball.probability == pytest.approx(1 / (1 + np.exp(8)), rel=0.01)
    assert ask(again, "ball", encoder=knowing)[0].status is Status.FOUND  # 'ball' is no rival of itself


def test_the_likeliest_thing_is_the_answer_not_the_one_that_fits_best() -> None:
    # 'cup' fits the ball with 6 and the post with 5, but the null phrase 'ball' fits the ball with 10: margins -4 and 5
    # (no null phrase fits the post), so the post is the likelier cup.
    words = {"cup": np.array([0.6, 0, 0.5, 0, 0, 0.6245, 0, 0], np.float32)}
    encoder = KnownEncoder(words)
    encoder.calibration = Calibration(0.0, 1.0, 1.0, ("ball", "crate"))
    places = best_places(snapshot_of((BALL, POST), (0, 2)), QueryRequest(("cup",)), encoder, CONFIG)
    assert places[0] is not None
    first, second = places[0].matches[:2]
    assert (first.fit, first.margin) == pytest.approx((5, 5), abs=0.05)
    assert (second.fit, second.margin) == pytest.approx((6, -4), abs=0.05)
    probabilities = [match.probability for match in places[0].matches]
    assert probabilities == sorted(probabilities, reverse=True)


def test_a_request_of_many_phrases_is_answered_as_one_by_one(snapshot: FieldSnapshot) -> None:
    prompts = ("ball", "crate but not ball", "post", "table", "elephant", "crate", "lid", "ball but not post", "a", "b")
    together = best_places(snapshot, QueryRequest(prompts), KnownEncoder(), CONFIG)
    alone = [best_places(snapshot, QueryRequest((p,)), KnownEncoder(), CONFIG)[0] for p in prompts]
    for one, other in zip(together, alone, strict=True):
        assert one is not None
        assert other is not None
        assert one.best == other.best


def test_the_visibility_filter_is_the_requests_own_on_one_snapshot(snapshot: FieldSnapshot) -> None:
    on_ball = nearest_solid(snapshot.surface, SOLIDS) == 0
    views = np.where(on_ball, 4, snapshot.surface.views).astype(np.int32)
    seen = dataclasses.replace(snapshot, surface=dataclasses.replace(snapshot.surface, views=views))
    assert ask(seen, "ball")[0].status is Status.FOUND
    assert ask(seen, "ball", config=from_flat({"surface.min_views": 5}, CONFIG))[0].status is Status.NOT_FOUND
    assert ask(seen, "ball")[0].status is Status.FOUND


def test_what_a_phrase_says_it_is_not_is_left_out() -> None:
    # 'round' fits the ball and the crate; the ball better. Without 'sphere' (the ball's axis) the crate is left.
    words = {"round": np.array([0.7, 0.6, 0, 0, 0, 0.387, 0, 0], np.float32), "sphere": blend(0, 1.0)}
    scene = snapshot_of((BALL, CRATE), (0, 1))
    encoder = KnownEncoder(words)
    both, rest = ask(scene, "round", "round but not sphere", encoder=encoder)
    assert both.status is Status.AMBIGUOUS
    assert both.argmax_point is not None
    assert np.linalg.norm(both.argmax_point - BALL.centre) < 0.035
    assert rest.status is Status.FOUND
    assert rest.prompt == "round but not sphere"
    assert rest.extent is not None
    np.testing.assert_allclose(rest.extent.centre, CRATE.centre, atol=0.006)


def test_the_heat_of_a_thing_is_shared_by_its_points(snapshot: FieldSnapshot) -> None:
    # One point of the table looks exactly like the post. By itself it has sigmoid(10); with the table's own fit of 0
    # (it is as unlike the post as the canonical phrases are) it has sigmoid((10 + 0) / 2); the post keeps its 10.
    (table,) = (np.flatnonzero(nearest_solid(snapshot.surface, SOLIDS) == -1)[:1],)
    embeddings = snapshot.language.embeddings.clone()
    embeddings[1, torch.from_numpy(table)] = torch.eye(8)[AXES["post"]]
    spotted = dataclasses.replace(snapshot, language=dataclasses.replace(snapshot.language, rows=embeddings))
    heat = heat_maps(spotted, QueryRequest(("post",)), KnownEncoder(), CONFIG)["post"]
    assert heat[table[0]] == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-3)
    on_post = nearest_solid(snapshot.surface, SOLIDS) == 2
    assert np.median(heat[on_post]) == pytest.approx(1 / (1 + np.exp(-10)), abs=1e-4)


def test_the_peak_rule_is_lerfs_hottest_point_at_the_hottest_scale(snapshot: FieldSnapshot) -> None:
    (table,) = (np.flatnonzero(nearest_solid(snapshot.surface, SOLIDS) == -1)[:1],)
    embeddings = snapshot.language.embeddings.clone()
    embeddings[0, torch.from_numpy(table)] = torch.eye(8)[AXES["post"]]  # one outlier, at the other scale
    embeddings[1] = 0.9 * embeddings[1]  # the post itself has 9
    spotted = dataclasses.replace(snapshot, language=dataclasses.replace(snapshot.language, rows=embeddings))
    config = from_flat({"query.rule": "peak"}, CONFIG)
    (peak,) = ask(spotted, "post", config=config)
    (robust,) = ask(spotted, "post")
    np.testing.assert_array_equal(peak.argmax_point, snapshot.surface.points[table[0]])
    assert peak.scale_m == pytest.approx(0.05)
    assert peak.probability == peak.relevancy == pytest.approx(1 / (1 + np.exp(-10)), abs=1e-5)
    assert robust.argmax_point is not None
    assert np.linalg.norm(robust.argmax_point[:2] - POST.centre[:2]) < 0.03


def test_things_that_touch_are_taken_apart_by_relevancy_and_colour() -> None:
    left = Box((-0.03, 0.0, 0.03), (0.06, 0.06, 0.06))
    right = Box((0.03, 0.0, 0.02), (0.06, 0.06, 0.04), 0.0, (200, 30, 30))
    touching = snapshot_of((left, right), (0, 1))
    (ball, crate) = ask(touching, "ball", "crate")
    for found, solid in ((ball, left), (crate, right)):
        assert found.status is Status.FOUND
        assert found.extent is not None
        np.testing.assert_allclose(found.extent.centre, solid.centre, atol=0.006)
        np.testing.assert_allclose(found.extent.size, solid.size, atol=0.012)
    # a phrase that fits both alike describes both
    both = KnownEncoder({"boxes": np.array([0.7, 0.7, 0, 0, 0, 0.14, 0, 0], np.float32)})
    (whole,) = ask(touching, "boxes", encoder=both)
    assert whole.extent is not None
    np.testing.assert_allclose(whole.extent.size[:2], (0.12, 0.06), atol=0.006)


def test_negatives_move_the_answer(snapshot: FieldSnapshot) -> None:
    # 'round' is near ball (.9) and post (.7). With the negative 'sphere' = the ball's own axis, the post wins:
    # at the post e.round - e.sphere = .7, at the ball .9 - 1 = -.1.
    words = {"round": np.array([0.71, 0, 0.7, 0, 0, 0.08, 0, 0], np.float32), "sphere": blend(0, 1.0)}
    plain = ask(snapshot, "round", encoder=KnownEncoder(words))[0]
    (moved,) = ask(snapshot, "round", encoder=KnownEncoder(words), negatives=("sphere",))
    assert plain.argmax_point is not None
    assert moved.argmax_point is not None
    assert np.linalg.norm(plain.argmax_point - BALL.centre) < 0.035
    assert np.linalg.norm(moved.argmax_point[:2] - POST.centre[:2]) < 0.03


def test_a_region_leaves_out_what_is_elsewhere(snapshot: FieldSnapshot) -> None:
    around_post = ((-0.2, 0.0, -0.01), (-0.05, 0.16, 0.2))
    ball, post = ask(snapshot, "ball", "post", region=around_post)
    assert ball.status is Status.NOT_FOUND
    assert post.status is Status.FOUND
    (empty,) = ask(snapshot, "ball", region=((0.0, 0.0, 0.25), (0.1, 0.1, 0.28)))
    assert empty.status is Status.NOT_FOUND
    assert "region" in empty.message


@pytest.fixture(scope="module")
def lidded(snapshot: FieldSnapshot) -> FieldSnapshot:
    """The scene with a 'lid': the upper part of the post."""
    surface = snapshot.surface
    upper = (nearest_solid(surface, SOLIDS) == 2) & (surface.points[:, 2] > 0.08)
    embeddings = snapshot.language.embeddings.clone()
    embeddings[1, torch.from_numpy(upper)] = torch.from_numpy(blend(AXES["post"], 0.5, AXES["lid"]))
    return dataclasses.replace(snapshot, language=dataclasses.replace(snapshot.language, rows=embeddings))


def test_within_finds_a_part_of_one_object(lidded: FieldSnapshot) -> None:
    (lid,) = ask(lidded, "lid", within="post")
    assert lid.status is Status.FOUND
    assert lid.points is not None
    assert lid.points[:, 2].min() > 0.075
    assert np.linalg.norm(lid.points[:, :2] - POST.centre[:2], axis=1).max() < 0.03
    (elsewhere,) = ask(lidded, "lid", within="ball")
    assert elsewhere.status is Status.NOT_FOUND


def test_within_works_with_the_peak_rule_too(lidded: FieldSnapshot) -> None:
    config = from_flat({"query.rule": "peak"}, CONFIG)
    (lid,) = ask(lidded, "lid", within="post", config=config)
    assert lid.status is Status.FOUND
    assert lid.points is not None
    assert lid.points[:, 2].min() > 0.075
    (elsewhere,) = ask(lidded, "lid", within="ball", config=config)
    assert elsewhere.argmax_point is None or np.linalg.norm(elsewhere.argmax_point - BALL.centre) < 0.035


def test_a_low_threshold_with_the_peak_rule_answers_with_what_there_is(snapshot: FieldSnapshot) -> None:
    words = {"dim": np.array([0.2, 0, 0, 0, 0, 0, 0.9798, 0], np.float32)}  # nearer the canonical axis than anything
    config = from_flat({"query.rule": "peak", "query.found_probability": 0.05}, CONFIG)
    (found,) = ask(snapshot, "dim", config=config, encoder=KnownEncoder(words), negatives=("ball", "table"))
    assert found.relevancy < 0.5 + 1e-6
    assert found.status in (Status.FOUND, Status.NOT_FOUND)


def test_within_something_absent_says_so(snapshot: FieldSnapshot) -> None:
    (found,) = ask(snapshot, "lid", within="elephant")
    assert found.status is Status.NOT_FOUND
    assert "no 'elephant'" in found.message


def test_not_ready_says_how_much_is_there(snapshot: FieldSnapshot) -> None:
    assert ask(None, "ball")[0].status is Status.NOT_READY
    few = dataclasses.replace(snapshot, keyframes=2)
    found, bad = ask(few, "ball", "")
    assert (found.status, bad.status) == (Status.NOT_READY, Status.BAD_REQUEST)
    assert "2 of at least 6 keyframes" in found.message
    early = dataclasses.replace(snapshot, step=17)
    assert f"17 of at least {CONFIG.query.min_steps} steps" in ask(early, "ball")[0].message
    unseen = dataclasses.replace(snapshot, surface=dataclasses.replace(
        snapshot.surface, views=np.ones_like(snapshot.surface.views)))  # fmt: skip
    assert "seen by 3 keyframes" in ask(unseen, "ball")[0].message


def test_points_that_few_views_saw_are_not_answered_with(snapshot: FieldSnapshot) -> None:
    on_ball = nearest_solid(snapshot.surface, SOLIDS) == 0
    views = np.where(on_ball, 2, snapshot.surface.views).astype(np.int32)
    hidden = dataclasses.replace(snapshot, surface=dataclasses.replace(snapshot.surface, views=views))
    assert ask(hidden, "ball")[0].status is Status.NOT_FOUND
    assert ask(hidden, "post")[0].status is Status.FOUND


def test_points_that_no_embedding_covers_never_win(snapshot: FieldSnapshot) -> None:
    # Everything is a little unlike 'dim' (relevancy < .5); uncovered points would score .5 and win.
    embeddings = snapshot.language.embeddings.clone()
    embeddings[:, torch.from_numpy(nearest_solid(snapshot.surface, SOLIDS) == 1)] = 0
    patchy = dataclasses.replace(snapshot, language=dataclasses.replace(snapshot.language, rows=embeddings))
    encoder = KnownEncoder({"dim": -blend(6, 0.9)})
    heat = heat_maps(patchy, QueryRequest(("dim",)), encoder, CONFIG)["dim"]
    crate = nearest_solid(snapshot.surface, SOLIDS) == 1
    assert (heat[crate] == 0).all()
    assert heat[~crate].min() > 0


def test_stale(snapshot: FieldSnapshot) -> None:
    config = from_flat({"query.stale_after_s": 1.5}, CONFIG)
    found, absent = ask(snapshot, "ball", "elephant", config=config)
    assert found.status is Status.STALE
    assert "2.0 s old" in found.message
    assert found.points is not None
    assert absent.status is Status.NOT_FOUND
    assert ask(snapshot, "ball", config=from_flat({"query.stale_after_s": 2.5}, CONFIG))[0].status is Status.FOUND


def test_requests_that_cannot_be_answered_at_all(snapshot: FieldSnapshot) -> None:
    with pytest.raises(PromptError, match="no prompts"):
        ask(snapshot)
    with pytest.raises(PromptError, match="65 prompts"):
        ask(snapshot, *["ball"] * 65)
    with pytest.raises(PromptError, match="negatives: the phrase is empty"):
        ask(snapshot, "ball", negatives=("",))
    with pytest.raises(PromptError, match="within"):
        ask(snapshot, "ball", within="   ")
    for region in (((0.0, 0.0, 0.0), (0.0, 1.0, 1.0)), ((0.0, 0.0, 0.0), (1.0, 1.0, float("nan")))):
        with pytest.raises(PromptError, match="no box"):
            ask(snapshot, "ball", region=region)


def test_another_encoder_is_refused(snapshot: FieldSnapshot) -> None:
    with pytest.raises(EncoderError, match="was made with encoder known"):
        ask(snapshot, "ball", encoder=KnownEncoder(sha256="z" * 64))


def test_limits_on_points_and_targets(snapshot: FieldSnapshot) -> None:
    (few,) = ask(snapshot, "crate", max_points=50, max_targets=2, plan_grasps=True)
    assert few.points is not None
    assert len(few.points) == 50
    assert len(few.targets) == 2
    assert ask(snapshot, "crate")[0].targets == ()
    assert "no free grasp" in ask(snapshot, "table", plan_grasps=True)[0].message
