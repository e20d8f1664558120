# SPDX-License-Identifier: Apache-2.0
"""What is worked out once, and for how many keys it is kept."""

import numpy as np
import pytest
from known_scene import AXES, BALL, CONFIG, POST, KnownEncoder, snapshot_of

from lerf_ros.core import search
from lerf_ros.core.calibration import Calibration
from lerf_ros.core.memo import Memo
from lerf_ros.core.query import QueryRequest, answer


class Owner:
    """Something that can be forgotten."""


def test_a_value_is_made_once_and_the_oldest_go_beyond_the_limit() -> None:
    memo, owner, made = Memo[int](most=2), Owner(), []
    for key in (1, 2, 1, 3, 2, 1):
        memo.get(owner, key, lambda key=key: made.append(key) or key)
    assert made == [1, 2, 3, 1]


def test_a_region_that_is_asked_again_costs_its_null_fits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fits = search.null_fits
    monkeypatch.setattr(search, "null_fits", lambda *arguments: calls.append(1) or fits(*arguments))
    encoder = KnownEncoder()
    encoder.calibration = Calibration(null_phrases=("post", "table"))
    snapshot = snapshot_of((BALL, POST), (AXES["ball"], AXES["post"]))
    regions = [((-1.0, -1.0, -1.0), (x, 1.0, 1.0)) for x in (0.02, 0.3, 0.02, 0.3)]
    answers = [
        answer(snapshot, QueryRequest(("ball",), region=region), encoder, CONFIG, now_ns=0)[0] for region in regions
    ]
    used = {int((snapshot.surface.points <= np.array(high)).all(axis=1).sum()) for _, high in regions}
    assert len(used) == 2
    assert len(calls) == 2
    assert [a.probability for a in answers[:2]] == [a.probability for a in answers[2:]]
