# SPDX-License-Identifier: Apache-2.0
"""Oracles on a map whose every embedding is known: each stage is right and wrong where it was made so."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scene import AXES, BALL, CONFIG, CRATE, POST, KnownEncoder, axis, nearest_solid, snapshot_of

from lerf_ros.core.calibration import Calibration
from lerf_ros.core.snapshot import FieldSnapshot, LanguageCache
from lerf_ros.eval.oracles import Oracles, covered, true_segments
from lerf_ros.eval.questions import Question
from lerf_ros.eval.rules import Found
from lerf_ros.eval.truth import Truth

SOLIDS = (BALL, CRATE, POST)
ASKED = tuple(Question(name, "category", (k,)) for k, name in enumerate(("ball", "crate", "post")))


@pytest.fixture(scope="module")
def snapshot() -> FieldSnapshot:
    return snapshot_of(SOLIDS, (AXES["ball"], AXES["crate"], AXES["post"]))


def clouds(snapshot: FieldSnapshot) -> list[np.ndarray]:
    """Points of each solid, those that may be answered with."""
    which = nearest_solid(snapshot.surface, SOLIDS)
    which[~snapshot.surface.answerable(CONFIG.surface.min_views)] = -1
    return [snapshot.surface.points[which == k].astype(np.float64) for k in range(3)]


def turned(snapshot: FieldSnapshot) -> FieldSnapshot:
    """The same map, but the ball is taken for the crate, the crate for the post and the post for the ball."""
    to = torch.arange(8)
    to[[0, 1, 2]] = torch.tensor([2, 0, 1])
    language = LanguageCache(snapshot.language.scales_m, snapshot.language.embeddings[..., to])
    return replace(snapshot, language=language)


def oracles(
    snapshot: FieldSnapshot, averages: FieldSnapshot, encoder: KnownEncoder, seen: list[np.ndarray] | None = None
) -> Oracles:
    truth = Truth(clouds(snapshot))
    distances = truth.distances_m(snapshot.surface.points)
    visible = clouds(snapshot) if seen is None else seen
    return Oracles(snapshot, averages, truth, distances, visible, encoder, CONFIG)


def found_on(snapshot: FieldSnapshot, *solids: int) -> list[Found]:
    which = nearest_solid(snapshot.surface, SOLIDS)
    nothing = np.zeros(len(which), np.float32)
    # the middle point of those on a solid: none at its foot, where the table is near
    points = [np.flatnonzero(which == k)[np.argsort(snapshot.surface.points[which == k, 2])[-5]] for k in solids]
    return [Found(int(p), 0.5, 0.5, nothing, nothing > 0) for p in points]


def test_each_stage_is_right_where_it_was_made_so(snapshot: FieldSnapshot) -> None:
    judge = oracles(snapshot, turned(snapshot), KnownEncoder())
    for told in judge.ask(ASKED, found_on(snapshot, 0, 1, 2)):
        assert told.pop("encoder") == 0.0
        assert told == dict.fromkeys(("field", "surface", "segments", "selection", "coverage"), 1.0)
    judge = oracles(turned(snapshot), snapshot, KnownEncoder())
    for told in judge.ask(ASKED, found_on(snapshot, 1, 2, 0)):
        assert (told["encoder"], told["field"], told["selection"]) == (1.0, 0.0, 0.0)


def test_what_won_is_named_by_its_object(snapshot: FieldSnapshot) -> None:
    judge = oracles(snapshot, turned(snapshot), KnownEncoder())
    for wrong in range(3):  # embeddings of `turned`: the ball's point to the crate and so on
        asked = [replace(q, objects=(wrong,)) for q in ASKED]
        told = judge.ask(asked, found_on(snapshot, 0, 1, 2))
        assert [t["field"] for t in told] == [float(k == wrong) for k in range(3)]
        assert [t["encoder"] for t in told] == [float((k + 2) % 3 == wrong) for k in range(3)]


def test_the_table_is_no_object_and_absent_phrases_have_no_oracle(snapshot: FieldSnapshot) -> None:
    judge = oracles(snapshot, snapshot, KnownEncoder())
    table = Question("table", "category", (0, 1, 2))
    gone = Question("lid", "unknown_word", ())
    told = judge.ask((table, gone), found_on(snapshot, 0, 0))
    assert told[0]["field"] == told[0]["encoder"] == 0.0
    assert told[1] == {}


def test_null_phrases_weigh_as_in_the_query(snapshot: FieldSnapshot) -> None:
    # The crate fits by 6, yet its own name fits it by 10 and costs it 4; the ball fits by 5, and has no rival.
    encoder = KnownEncoder({"chest": 0.6 * axis(AXES["crate"]) + 0.5 * axis(AXES["ball"])})
    chest = (Question("chest", "category", (0,)),)
    winners = {}
    for null in ((), ("crate", "table")):
        encoder.calibration = Calibration(-2.0, 0.5, 3.0, null)
        winners[null] = oracles(snapshot, snapshot, encoder).ask(chest, found_on(snapshot, 0))[0]["field"]
    assert winners == {(): 0.0, ("crate", "table"): 1.0}


def test_coverage_is_the_share_of_the_seen_surface_that_is_mapped(snapshot: FieldSnapshot) -> None:
    seen = clouds(snapshot)
    seen[0] = np.concatenate([seen[0][:30], seen[0][:10] + np.array([0, 0, 0.5])])
    told = oracles(snapshot, snapshot, KnownEncoder(), seen).ask(ASKED, found_on(snapshot, 0, 1, 2))
    assert [t["coverage"] for t in told] == [0.75, 1.0, 1.0]
    at = np.array([[0.0, 0, 0]], np.float32)
    assert covered(np.array([[0.0, 0, 0.0074], [0.0, 0, 0.0076]]), at) == 0.5
    assert covered(np.zeros((0, 3)), at) == 1.0
    assert covered(np.zeros((2, 3)), at[:0]) == 0.0


def test_true_segments_leave_zero_to_all_that_is_no_object() -> None:
    found = true_segments(np.array([-1, 0, 2, 2, -1]))
    assert found.label.tolist() == [0, 1, 3, 3, 0]
    assert found.count == 4
    assert [found.is_object(k) for k in range(4)] == [False, True, True, True]
