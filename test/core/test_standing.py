# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
from known_scene import AXES, BALL, CONFIG, CRATE, POST, VIEWS, KnownEncoder, nearest_solid, snapshot_of

from lerf_ros.config import from_flat
from lerf_ros.core.query import QueryRequest, Status, answer, heat_maps
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.standing import answers, evenly, relevancies
from lerf_ros.errors import EncoderError

SOLIDS = (BALL, CRATE, POST)
NOW = VIEWS * 10**9


@pytest.fixture(scope="module")
def snapshot() -> FieldSnapshot:
    return snapshot_of(SOLIDS, (AXES["ball"], AXES["crate"], AXES["post"]))


def test_answers_are_those_of_a_query_with_grasps(snapshot: FieldSnapshot) -> None:
    mine = answers(snapshot, ("ball", "whale"), KnownEncoder(), CONFIG, NOW)
    theirs = answer(snapshot, QueryRequest(("ball", "whale"), plan_grasps=True), KnownEncoder(), CONFIG, NOW)
    assert [a.status for a in mine] == [Status.FOUND, Status.NOT_FOUND]
    assert mine[0].targets
    for one, other in zip(mine[0].targets, theirs[0].targets, strict=True):
        np.testing.assert_array_equal(one.T_world_tcp, other.T_world_tcp)
    assert answers(snapshot, (), KnownEncoder(), CONFIG, NOW) == ()


def test_the_whole_answerable_surface_has_a_relevancy(snapshot: FieldSnapshot) -> None:
    found = relevancies(snapshot, ("ball", "crate"), KnownEncoder(), CONFIG)
    ball, which = found["ball"], nearest_solid(snapshot.surface, SOLIDS)
    np.testing.assert_array_equal(ball.rows, np.flatnonzero(snapshot.surface.answerable(CONFIG.surface.min_views)))
    assert ball.scale_m == pytest.approx(0.1)
    assert ball.probability == pytest.approx(1, abs=1e-6)
    assert (ball.values[which[ball.rows] == 0] > 0.99).all()
    assert (ball.values[which[ball.rows] == 1] < 0.6).all()
    assert (found["crate"].values[which[ball.rows] == 1] > 0.99).all()
    np.testing.assert_array_equal(
        ball.values, heat_maps(snapshot, QueryRequest(("ball",)), KnownEncoder(), CONFIG)["ball"][ball.rows]
    )


def test_a_large_map_is_thinned_out_evenly(snapshot: FieldSnapshot) -> None:
    whole = relevancies(snapshot, ("ball",), KnownEncoder(), CONFIG)["ball"]
    some = relevancies(snapshot, ("ball",), KnownEncoder(), CONFIG, most_points=100)["ball"]
    assert len(some.rows) == 100
    assert len(np.unique(some.rows)) == 100
    np.testing.assert_array_equal(some.values, whole.values[np.searchsorted(whole.rows, some.rows)])
    np.testing.assert_array_equal(evenly(np.arange(5), 3), [0, 2, 4])
    np.testing.assert_array_equal(evenly(np.arange(5), 9), np.arange(5))
    np.testing.assert_array_equal(evenly(np.arange(5), None), np.arange(5))


def test_what_cannot_be_asked_yet_has_none(snapshot: FieldSnapshot) -> None:
    assert relevancies(None, ("ball",), KnownEncoder(), CONFIG) == {}
    assert relevancies(snapshot, (), KnownEncoder(), CONFIG) == {}
    patient = from_flat({"query.min_steps": 1001}, CONFIG)
    assert relevancies(snapshot, ("ball",), KnownEncoder(), patient) == {}
    assert answers(snapshot, ("ball",), KnownEncoder(), patient, NOW)[0].status is Status.NOT_READY


def test_another_encoders_map_is_refused(snapshot: FieldSnapshot) -> None:
    foreign = dataclasses.replace(snapshot, encoder_sha256="f" * 64)
    with pytest.raises(EncoderError):
        relevancies(foreign, ("ball",), KnownEncoder(), CONFIG)
