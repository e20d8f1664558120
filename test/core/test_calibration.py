# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest

from lerf_ros.core.calibration import CALIBRATION_FILE, Calibration, read_calibration
from lerf_ros.errors import EncoderError

GOOD = {"bias": -1.0, "fit": 2.0, "margin": 0.5, "same_meaning": 0.7, "null_phrases": ["a mug"], "measured_on": "x"}


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def test_probability_by_hand() -> None:
    calibration = Calibration(-1.0, 2.0, 0.5)
    found = calibration.probability(np.array([0.5, 1.0, 100.0]), np.array([0.0, -2.0, -100.0]))
    # evidence is cut at 12: -1 + 2 x 12 - 0.5 x 12 = 17
    np.testing.assert_allclose(found, [sigmoid(0.0), sigmoid(0.0), sigmoid(17.0)], rtol=1e-12)


def test_it_never_overflows() -> None:
    wild = Calibration(1e6, 1e6, 1e6).probability(np.array([1e30, -1e30]), np.array([1e30, -1e30]))
    assert np.isfinite(wild).all()


def test_round_trip_and_guess(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) == Calibration()
    (tmp_path / CALIBRATION_FILE).write_text(json.dumps(GOOD))
    assert read_calibration(tmp_path) == Calibration(-1.0, 2.0, 0.5, ("a mug",), 0.7, "x")


@pytest.mark.parametrize(
    "change",
    [{"bias": None}, {"fit": 0}, {"margin": -1}, {"bias": float("nan")}, {"null_phrases": 3}, {"same_meaning": "x"},
     {"midpoint": 0.6}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    document = {"midpoint": 0.6, "slope": 20} if "midpoint" in change else GOOD | change
    (tmp_path / CALIBRATION_FILE).write_text(json.dumps(document))
    with pytest.raises(EncoderError, match=r"calibration\.json"):
        read_calibration(tmp_path)
