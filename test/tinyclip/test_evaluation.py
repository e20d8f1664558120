# SPDX-License-Identifier: Apache-2.0
from lerf_ros.tinyclip.evaluate import Scores, Tally, summary


def test_the_summary_gives_rates_with_their_numbers() -> None:
    scores = Scores(present=[0.9, 0.8])
    for kind in scores.absent:
        scores.absent[kind] = [0.1]
    scores.tallies["category"] = Tally([True, False], [True, True], [True, True], [0.1, 0.3])
    told = summary(scores)
    assert told["localisation"] == {
        "category": {"n": 2, "one_view": 0.5, "four_views": 1.0, "within_2cm": 1.0, "chance": 0.2}
    }
    absent = told["absent"]
    assert isinstance(absent, dict)
    assert absent["pooled"] == {"n": 3, "auroc": 1.0, "mean": 0.1}
