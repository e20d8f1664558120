# SPDX-License-Identifier: Apache-2.0
"""Wall time of callables, ours and the peer's in turn."""

import time
from collections.abc import Callable, Mapping

Timed = Callable[[], float]
"""Does the work once and returns its measure (seconds, say)."""


def seconds(function: Callable[[], object]) -> float:
    """Return the wall time of one call, seconds."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def interleave(sides: Mapping[str, Timed], repeats: int) -> dict[str, list[float]]:
    """Run A B A B ...: what the machine does besides falls on all sides alike. One turn of each before is not counted.

    Returns:
        the measures of each side, in the order they were taken.
    """
    for side in sides.values():
        side()
    out: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            out[name].append(side())
    return out


def repeated(function: Callable[[], object], at_least: int, limit_s: float) -> list[float]:
    """Return wall times of calls: `at_least` of them, more while less than `limit_s` has passed (at most ten times)."""
    out: list[float] = []
    until = time.monotonic() + limit_s
    while len(out) < at_least or (time.monotonic() < until and len(out) < 10 * at_least):
        out.append(seconds(function))
    return out
