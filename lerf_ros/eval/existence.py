# SPDX-License-Identifier: Apache-2.0
"""How well scores tell what is there from what is not, and whether probabilities mean what they say."""

from collections.abc import Sequence

import numpy as np

BINS = 10


def auroc(present: Sequence[float], absent: Sequence[float]) -> float | None:
    """Return the chance that a present phrase scores above an absent one (ties count half); None without either."""
    if not len(present) or not len(absent):
        return None
    p, a = np.sort(np.asarray(present, np.float64)), np.asarray(absent, np.float64)
    above = len(p) - np.searchsorted(p, a, side="right")
    ties = np.searchsorted(p, a, side="right") - np.searchsorted(p, a, side="left")
    return float((above + 0.5 * ties).sum() / (len(p) * len(a)))


def average_precision(present: Sequence[float], absent: Sequence[float]) -> float | None:
    """Return the mean, over present phrases, of the precision at the threshold that just accepts each; None if none.

    A threshold accepts all phrases of the same score together.
    """
    if not len(present):
        return None
    p, a = np.sort(np.asarray(present, np.float64)), np.sort(np.asarray(absent, np.float64))
    true = len(p) - np.searchsorted(p, p, side="left")
    false = len(a) - np.searchsorted(a, p, side="left")
    return float((true / (true + false)).mean())


def calibration_error(probabilities: Sequence[float], there: Sequence[bool]) -> float | None:
    """Return the expected calibration error over ten bins of equal width, each weighing its share; None of nothing."""
    if not len(probabilities):
        return None
    p, y = np.asarray(probabilities, np.float64), np.asarray(there, np.float64)
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = [abs(p[bins == b].mean() - y[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(gaps))
