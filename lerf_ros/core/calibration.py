# SPDX-License-Identifier: Apache-2.0
"""From what speaks for a phrase to the probability that what it names is there.

Two things speak: how much better the phrase fits a thing than the canonical phrases do, and how much better than
other phrases fit the same thing of the same map (the null distribution). The second turns "a blue mug" down where "a
red mug" fits better, whatever the age of the field.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Float64

from lerf_ros.errors import EncoderError

CALIBRATION_FILE: Final = "calibration.json"
LARGEST: Final = 12.0
"""Evidence is cut here (log-odds): beyond it nothing becomes more certain."""


@dataclass(frozen=True)
class Calibration:
    """Logistic map from the evidence to a probability, measured with one encoder's weights.

    Attributes:
        bias, fit, margin: the probability is sigmoid(bias + fit x1 + margin x2), where x1 is the thing's log-odds of
            the phrase against the negatives and x2 how far it exceeds the best null phrase's (0 if there is none). The
            defaults are a guess.
        null_phrases: phrases the encoder knows, most of them true of nothing in a given scene.
        same_meaning: null phrases whose text is at least this near (cosine) to the phrase asked are no rivals to it.
        measured_on: what the numbers were fitted on; "" when they are only a guess.
    """

    bias: float = -2.0
    fit: float = 5.0
    margin: float = 0.0
    null_phrases: tuple[str, ...] = ()
    same_meaning: float = 0.7
    measured_on: str = ""

    def log_odds(self, fit: Float[np.ndarray, " K"], margin: Float[np.ndarray, " K"]) -> Float64[np.ndarray, " K"]:
        """Return the log-odds of each thing's evidence, by which things are ranked."""
        return np.asarray(self.bias + self.fit * np.asarray(fit, np.float64) + self.margin * margin, np.float64)

    def probability(self, fit: Float[np.ndarray, " K"], margin: Float[np.ndarray, " K"]) -> Float64[np.ndarray, " K"]:
        """Return the probability of each thing's evidence."""
        cut = (np.clip(x, -LARGEST, LARGEST) for x in (fit, margin))
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(self.log_odds(*cut), -60.0, 60.0))))


def read_calibration(folder: Path) -> Calibration:
    """Return the calibration beside a model's weights, the guess where there is none.

    Raises:
        EncoderError: the file is damaged or holds numbers that make no sense.
    """
    path = folder / CALIBRATION_FILE
    if not path.is_file():
        return Calibration()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = Calibration(
            float(data["bias"]), float(data["fit"]), float(data["margin"]),
            tuple(str(phrase) for phrase in data["null_phrases"]), float(data["same_meaning"]),
            str(data.get("measured_on", "")),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise EncoderError(
            f"{path} must hold the numbers 'bias', 'fit', 'margin' and 'same_meaning' and the list 'null_phrases' "
            f"({error!r})"
        ) from error
    numbers = (found.bias, found.fit, found.margin, found.same_meaning)
    if not all(map(math.isfinite, numbers)) or found.fit <= 0 or found.margin < 0:
        raise EncoderError(f"{path}: bias {found.bias}, fit {found.fit}, margin {found.margin} and same_meaning "
                           f"{found.same_meaning} must be finite, fit positive and margin not negative")
    return found
