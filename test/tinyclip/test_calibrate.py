# SPDX-License-Identifier: Apache-2.0
"""The calibration's fit against a logistic whose numbers are known."""

from pathlib import Path

import numpy as np
import pytest

from lerf_ros.core.calibration import read_calibration
from lerf_ros.eval.mapping import node_config
from lerf_ros.tinyclip.calibrate import NULL_PHRASES, Evidence, fit, write


def test_it_recovers_a_known_logistic() -> None:
    rng = np.random.default_rng(0)
    evidence = rng.uniform(-4, 4, (60_000, 2))
    present = rng.random(len(evidence)) < 1 / (1 + np.exp(-(0.5 + 1.5 * evidence[:, 0] + 0.7 * evidence[:, 1])))
    assert fit(Evidence(evidence, present)) == pytest.approx((0.5, 1.5, 0.7), abs=0.05)


def test_probabilities_are_right_on_average() -> None:
    """A logistic of greatest likelihood with a bias has the mean probability of the mean of what happened."""
    rng = np.random.default_rng(1)
    evidence = rng.normal(0, 2, (500, 2))
    present = (evidence @ (1, 0.5) + rng.normal(0, 2, 500)) > 1
    bias, of_fit, of_margin = fit(Evidence(evidence, present))
    probability = 1 / (1 + np.exp(-(bias + evidence @ (of_fit, of_margin))))
    assert probability.mean() == pytest.approx(present.mean(), abs=1e-3)


def test_classes_that_do_not_overlap_stay_finite() -> None:
    evidence = np.array([[-3.0, -1], [-2, -1], [2, 1], [3, 2]])
    bias, of_fit, of_margin = fit(Evidence(evidence, np.array([False, False, True, True])))
    assert np.isfinite((bias, of_fit, of_margin)).all()
    assert of_fit > 0


def test_what_it_writes_is_read_and_says_what_it_was_measured_on(tmp_path: Path) -> None:
    evidence = np.array([[-3.0, -1], [-2, -1], [2, 1], [3, 2]])
    told = write(tmp_path, Evidence(evidence, np.array([False, False, True, True])), scenes=3)
    found = read_calibration(tmp_path)
    assert found.null_phrases == NULL_PHRASES
    assert found.measured_on == told
    assert "3 validation scenes" in told
    assert "1.000 of 2 present and 1.000 of 2 absent" in told
    assert found.probability(np.array([3.0, -3.0]), np.array([2.0, -1.0])).round() == pytest.approx([1, 0])


def test_null_phrases_are_all_the_bundled_encoder_has_words_for() -> None:
    assert len(set(NULL_PHRASES)) == 16 + 14 * 11 + 2 + 3
    assert {"a mug", "an orange can", "a green banana"} <= set(NULL_PHRASES)
    assert "a purple apple" not in NULL_PHRASES


def test_the_maps_are_configured_as_the_demonstration_configures_the_node() -> None:
    assert node_config().workspace.max_m == (0.90, 0.42, 0.36)
