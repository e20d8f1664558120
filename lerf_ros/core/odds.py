# SPDX-License-Identifier: Apache-2.0
"""Log-odds of surface points, and what the points of a thing say together: fused over phrases, scales and things.

The plain way, and what the tests compare with, is `relevancy.log_odds` and a partition a thing. Here a point's row is
read once for all phrases, and nothing of the size of all points is written. The kernels release the GIL for the whole
of their work: a query takes it once, however busy training keeps it.
"""

from typing import Final, no_type_check

import numpy as np
from jaxtyping import Float32, Int16, Int64
from numba import njit

NOTHING: Final = -30.0
"""Log-odds of a thing without points in use, and of points no view covers."""

UNROLLED: Final = 4
"""Texts a pass over a row; their number must be a multiple of it."""

CLOSE: Final = 1e-6
"""Two log-odds this near are one: bounds the search for the limit between the better and the worse points."""

Rows = Float32[np.ndarray, "S N R"] | Int16[np.ndarray, "S N R"]

# Sums may be reordered, so that they are vectors'; infinities must stay what they are.
_FAST: Final = {"reassoc", "contract", "nsz", "arcp"}


def point_odds(
    values: Float32[np.ndarray, "N R"] | Int16[np.ndarray, "N R"],
    rows: Int64[np.ndarray, " M"],
    texts: Float32[np.ndarray, "T R"],
    phrases: int,
) -> Float32[np.ndarray, "P M"]:
    """Return the log-odds of some rows of one scale: `texts` are the phrases', then the negatives'.

    A row of zeros (a point that no view covers) has minus infinity.
    """
    out = np.empty((phrases, len(rows)), np.float32)
    _points(values, rows, texts, out)
    return out


def thing_odds(
    values: Rows,
    rows: Int64[np.ndarray, " M"],
    starts: Int64[np.ndarray, " K1"],
    speakers: Int64[np.ndarray, " K"],
    texts: Float32[np.ndarray, "T R"],
    phrases: int,
) -> tuple[Float32[np.ndarray, "P S K"], Int64[np.ndarray, "P S K"], Float32[np.ndarray, "P S K"]]:
    """Return what the points of each thing say at each scale.

    Args:
        values: all rows, at every scale.
        rows: those in use, grouped by thing.
        starts: first position in `rows` of each thing; the last entry is their number.
        speakers: how many of its best points speak for each thing.
        texts: the phrases', then the negatives'.
        phrases: how many of `texts` are phrases.

    Returns:
        The mean log-odds of the speakers (`NOTHING` where none is covered), the hottest row, and its log-odds.
    """
    things = len(starts) - 1
    fits = np.full((phrases, len(values), things), NOTHING, np.float32)
    hottest = np.zeros(fits.shape, np.int64)
    peaks = np.full(fits.shape, -np.inf, np.float32)
    if things and phrases:
        each = np.empty((phrases, int(np.diff(starts).max())), np.float32)
        for scale in range(len(values)):
            _things(
                values[scale], rows, starts, speakers, texts, each, fits[:, scale], hottest[:, scale], peaks[:, scale]
            )
    return fits, hottest, peaks


def group_means(
    odds: Float32[np.ndarray, "P M"], starts: Int64[np.ndarray, " K1"], speakers: Int64[np.ndarray, " K"]
) -> Float32[np.ndarray, "P K"]:
    """Return the mean of each thing's best log-odds, of those that are known (columns are grouped by thing)."""
    out = np.full((len(odds), len(starts) - 1), NOTHING, np.float32)
    _means(odds, starts, speakers, out)
    return out


@njit(nogil=True, cache=True, fastmath=_FAST, inline="always")
@no_type_check
def _margins(
    values: np.ndarray, row: int, texts: np.ndarray, wide: np.ndarray, product: np.ndarray, phrases: int
) -> bool:
    """Write the products of a row with each phrase less the largest with a negative; return whether it is covered."""
    rank = values.shape[1]
    square = np.float32(0)
    for d in range(rank):
        wide[d] = values[row, d]
        square += wide[d] * wide[d]
    if square == 0:
        return False
    for t in range(0, len(texts), 4):
        a, b, c, e = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for d in range(rank):
            a += texts[t, d] * wide[d]
            b += texts[t + 1, d] * wide[d]
            c += texts[t + 2, d] * wide[d]
            e += texts[t + 3, d] * wide[d]
        product[t], product[t + 1], product[t + 2], product[t + 3] = a, b, c, e
    nearest = product[phrases]
    for t in range(phrases + 1, len(texts)):
        nearest = max(nearest, product[t])
    for t in range(phrases):
        product[t] -= nearest
    return True


@njit(nogil=True, cache=True, fastmath=_FAST)
@no_type_check
def _points(values: np.ndarray, rows: np.ndarray, texts: np.ndarray, out: np.ndarray) -> None:
    wide, product = np.empty(values.shape[1], np.float32), np.empty(len(texts), np.float32)
    for i in range(len(rows)):
        if _margins(values, rows[i], texts, wide, product, len(out)):
            for p in range(len(out)):
                out[p, i] = product[p]
        else:
            for p in range(len(out)):
                out[p, i] = -np.inf


@njit(nogil=True, cache=True, fastmath=_FAST)
@no_type_check
def _things(
    values: np.ndarray, rows: np.ndarray, starts: np.ndarray, speakers: np.ndarray, texts: np.ndarray,
    each: np.ndarray, fits: np.ndarray, hottest: np.ndarray, peaks: np.ndarray,
) -> None:  # fmt: skip
    phrases = len(each)
    wide, product = np.empty(values.shape[1], np.float32), np.empty(len(texts), np.float32)
    for k in range(len(starts) - 1):
        covered = 0
        for i in range(starts[k], starts[k + 1]):
            if not _margins(values, rows[i], texts, wide, product, phrases):
                continue
            for p in range(phrases):
                each[p, covered] = product[p]
                if product[p] > peaks[p, k]:
                    peaks[p, k], hottest[p, k] = product[p], rows[i]
            covered += 1
        if covered:
            for p in range(phrases):
                fits[p, k] = _mean_of_best(each[p, :covered], min(speakers[k], covered))


@njit(nogil=True, cache=True, fastmath=_FAST)
@no_type_check
def _means(odds: np.ndarray, starts: np.ndarray, speakers: np.ndarray, out: np.ndarray) -> None:
    each = np.empty(odds.shape[1], np.float32)
    for p in range(out.shape[0]):
        for k in range(out.shape[1]):
            covered = 0
            for i in range(starts[k], starts[k + 1]):
                if odds[p, i] > -np.inf:
                    each[covered] = odds[p, i]
                    covered += 1
            if covered:
                out[p, k] = _mean_of_best(each[:covered], min(speakers[k], covered))


@njit(nogil=True, cache=True, fastmath=_FAST)
@no_type_check
def _mean_of_best(values: np.ndarray, count: int) -> float:
    """Return the mean of the `count` largest values.

    The limit between them and the others is found by halving: each try is one pass of vector compares, where moving
    values about costs a missed branch each.
    """
    low, high = values[0], values[0]
    for i in range(len(values)):
        low, high = min(low, values[i]), max(high, values[i])
    while count < len(values) and high - low > CLOSE:
        limit = np.float32(0.5) * (low + high)
        above = np.int32(0)
        for i in range(len(values)):
            above += np.int32(values[i] > limit)
        if above > count:
            low = limit
        else:
            high = limit
            if above == count:
                break
    if count == len(values):
        high = low - np.float32(1)
    total, above = 0.0, 0
    for i in range(len(values)):
        if values[i] > high:
            total += values[i]
            above += 1
    return (total + (count - above) * high) / count
