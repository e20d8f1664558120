# SPDX-License-Identifier: Apache-2.0
"""The arithmetic from samples to rows, with numbers worked by hand, and the schema of bench.json."""

import json
import math

import pytest

from bench.rows import REQUIRED, Point, Row, Target, against, from_dict, measured, percentile, spread_of, unmeasured


def test_median_and_inter_quartile_range() -> None:
    row = measured("t", [5.0, 1.0, 3.0, 2.0, 4.0], "ms", 2)
    assert (row.value, row.spread, row.n) == (3.0, 2.0, 5)  # quartiles 2 and 4


def test_the_spread_of_few_samples_is_their_range_and_of_one_nothing() -> None:
    assert spread_of([1.0, 4.0, 2.0]) == 3.0
    assert spread_of([1.0]) is None


@pytest.mark.parametrize(("percent", "wanted"), [(50, 10), (95, 19), (99, 20), (100, 20), (0, 1)])
def test_percentiles_are_samples_by_nearest_rank(percent: float, wanted: int) -> None:
    assert percentile([float(k) for k in range(20, 0, -1)], percent) == wanted


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


def test_a_ratio_above_one_means_ours_is_better() -> None:
    assert Row("time", 2.0, "ms", 1, peer=50.0).ratio == 25.0
    assert Row("rate", 50.0, "rays/s", 1, peer=2.0, better="higher").ratio == 25.0
    assert Row("alone", 2.0, "ms", 1).ratio is None
    assert Row("zero", 0.0, "ms", 1, peer=1.0).ratio is None


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (Row("a", 50.0, "ms", 1, target=Target(50.0)), True),
        (Row("b", 50.1, "ms", 1, target=Target(50.0)), False),
        (Row("c", 9.0, "dB", 1, better="higher", target=Target(10.0)), False),
        (Row("d", 1.0, "ms", 1, peer=20.0, target=Target(20.0, "ratio")), True),
        (Row("e", 1.0, "ms", 1, peer=19.0, target=Target(20.0, "ratio")), False),
        (Row("f", 1.0, "ms", 1, target=Target(20.0, "ratio")), None),
        (Row("g", None, "ms", 1, target=Target(20.0)), None),
        (Row("h", math.inf, "s", 1, target=Target(10.0)), False),
        (Row("i", 1.0, "ms", 1), None),
    ],
)  # fmt: skip
def test_targets(row: Row, wanted: bool | None) -> None:
    assert row.meets is wanted


def test_a_peer_gets_its_own_median_and_spread() -> None:
    row = against(measured("t", [1.0, 2.0, 3.0], "ms", 1), [10.0, 30.0, 20.0], "them")
    assert (row.peer, row.peer_spread, row.peer_name, row.ratio) == (20.0, 20.0, "them", 10.0)


def test_without_a_peer_its_columns_are_null() -> None:
    row = against(measured("t", [1.0], "ms", 1), [], "them")
    stored = row.as_dict()
    assert (stored["peer"], stored["ratio"], "peer_name" in stored) == (None, None, False)


def test_every_row_has_the_required_keys_first_and_only_json() -> None:
    row = Row("t", math.nan, "ms", 2, n=0, better="higher", target=Target(3.0), point=Point("f", "s", 10))
    stored = json.loads(json.dumps(row.as_dict(), allow_nan=False))
    assert tuple(stored)[: len(REQUIRED)] == REQUIRED
    assert stored["value"] is None
    assert stored["point"] == {"figure": "f", "series": "s", "x": 10}


def test_rows_survive_being_stored() -> None:
    row = Row("t", 1.5, "ms", 2, spread=0.25, n=7, peer=3.0, peer_spread=0.5, peer_name="them", target=Target(2.0),
              roofline=0.5, note="why", point=Point("f", "s", 10.0), part="machine")  # fmt: skip
    assert from_dict(row.as_dict()) == row


def test_what_could_not_be_measured_says_why() -> None:
    stored = unmeasured("t", "ms", 2, "no ROS here", target=Target(1.0)).as_dict()
    assert (stored["value"], stored["note"]) == (None, "no ROS here")
    assert "meets" not in stored
