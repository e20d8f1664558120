# SPDX-License-Identifier: Apache-2.0
"""The calibration's fit against a logistic whose midpoint and slope are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from lerf_ros.tinyclip.calibrate import CALIBRATION_FILE, Scores, fit, node_config, write


def test_it_recovers_a_known_logistic() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.4, 1.0, 60_000)
    present = rng.random(len(x)) < 1 / (1 + np.exp(-20 * (x - 0.7)))
    midpoint, slope = fit(Scores(x, present))
    assert midpoint == pytest.approx(0.7, abs=0.02)  # both classes are about equally frequent here
    assert slope == pytest.approx(20, rel=0.1)


def test_classes_that_do_not_overlap_are_parted_in_the_middle() -> None:
    x = np.array([0.5, 0.55, 0.6, 0.8, 0.85, 0.9])
    midpoint, slope = fit(Scores(x, x > 0.7))
    assert 0.65 < midpoint < 0.75
    assert slope > 0


def test_more_absent_than_present_phrases_do_not_move_the_midpoint() -> None:
    x = np.array([0.5, 0.6, 0.8, 0.9])
    once, often = fit(Scores(x, x > 0.7))[0], fit(Scores(np.r_[x, x[:2], x[:2]], np.r_[x, x[:2], x[:2]] > 0.7))[0]
    assert once == pytest.approx(often, abs=1e-3)


def test_what_it_writes_says_what_it_was_measured_on(tmp_path: Path) -> None:
    x = np.array([0.5, 0.6, 0.8, 0.9])
    write(tmp_path, Scores(x, x > 0.7))
    found = json.loads((tmp_path / CALIBRATION_FILE).read_text())
    assert 0.6 < found["midpoint"] < 0.8
    assert "1.000 of 2 absent" in found["measured_on"]


def test_the_maps_are_configured_as_the_demonstration_configures_the_node() -> None:
    assert node_config().workspace.max_m == (0.90, 0.42, 0.36)
