# SPDX-License-Identifier: Apache-2.0
"""How far measured rates may be from the truth, with as few scenes as there are."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Z_95 = 1.959963984540054
RESAMPLES = 1000

T = TypeVar("T")


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a rate; (0, 1) of nothing.

    It takes answers as independent; those of one scene are not quite, so it is somewhat narrow.
    """
    if n == 0:
        return 0.0, 1.0
    rate, z2 = hits / n, Z_95**2
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def bootstrap(
    scenes: Sequence[T], measure: Callable[[Sequence[T]], float | None], seed: int
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of a measure over scenes drawn with replacement.

    Whole scenes are drawn, for questions of one scene share its objects and its map. None: fewer than two scenes.
    """
    if len(scenes) < 2:
        return None
    rng = np.random.default_rng((seed, 17))
    values = []
    for _ in range(RESAMPLES):
        value = measure([scenes[i] for i in rng.integers(len(scenes), size=len(scenes))])
        if value is not None:
            values.append(value)
    if not values:
        return None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
