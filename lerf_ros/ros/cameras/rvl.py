# SPDX-License-Identifier: Apache-2.0
"""RVL, the lossless code for depth images of A. Wilson, "Fast Lossless Depth Image Compression", ISS 2017.

Runs of zeros and of values alternate; values are differences to the last one, zigzag; every number is a chain of
nibbles of three bits each, the lowest first, eight nibbles to a 32-bit word, the first in its highest bits.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import UInt16
from numba import njit

ONE_ZERO = b"\x00\x00\x00\x10"  # one zero, then no values
NIBBLES = 12  # of the longest number that is read: 36 bits


def decode(data: bytes, count: int) -> UInt16[np.ndarray, " N"]:
    """Return the `count` values that `data` holds.

    Raises:
        ValueError: the data end too early, or hold more values than that.
    """
    words = np.frombuffer(data + bytes(-len(data) % 4), "<u4").astype(np.uint32, copy=False)
    out = np.zeros(count, np.uint16)
    if _decode(words, out) != count:
        raise ValueError(f"the RVL data are no {count} values")
    return out


@njit(nogil=True, cache=True)
@no_type_check
def _number(words: np.ndarray, at: int) -> tuple[int, int]:
    """Return the number at a nibble, and the nibble after it; -1 where the data end."""
    value = np.int64(0)
    for k in range(NIBBLES):
        if at >= 8 * len(words):
            return -1, at
        nibble = (np.int64(words[at >> 3]) >> (28 - 4 * (at & 7))) & 15
        at += 1
        value |= (nibble & 7) << (3 * k)
        if nibble < 8:
            return value, at
    return -1, at


@njit(nogil=True, cache=True)
@no_type_check
def _decode(words: np.ndarray, out: np.ndarray) -> int:
    """Fill `out`; return how many values were read, -1 if there is something wrong."""
    done, at, last = 0, 0, 0
    while done < len(out):
        zeros, at = _number(words, at)
        if zeros < 0 or zeros > len(out) - done:
            return -1
        done += zeros  # they are zero already
        values, at = _number(words, at)
        if values < 0 or values > len(out) - done or zeros + values == 0:
            return -1
        for _ in range(values):
            coded, at = _number(words, at)
            if coded < 0:
                return -1
            last = (last + ((coded >> 1) ^ -(coded & 1))) & 0xFFFF
            out[done] = last
            done += 1
    return done
