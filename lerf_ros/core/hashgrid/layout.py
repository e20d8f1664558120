# SPDX-License-Identifier: Apache-2.0
"""Where each level of a hash grid lies in its table, by tiny-cuda-nn's rules (its encodings/grid.h)."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int64

from lerf_ros.errors import ConfigError

PRIMES = (1, 2_654_435_761, 805_459_861)


@dataclass(frozen=True)
class GridLayout:
    """Levels, their resolutions, and their row ranges in one table of `rows` x `features`.

    Level l has scale `min_resolution * b**l - 1` and `ceil(scale) + 1` vertices a side. It is stored densely when all
    its vertices fit into `2**log2_table` rows, and hashed otherwise.
    """

    levels: int
    features: int
    log2_table: int
    min_resolution: int
    max_resolution: int

    def __post_init__(self) -> None:
        """Check what the kernels rely on.

        Raises:
            ConfigError: the number of features is odd (tiny-cuda-nn takes 2, 4 and 8, too).
        """
        if self.features < 2 or self.features % 2:
            raise ConfigError(f"a hash grid takes an even number of features a level, not {self.features}")

    @cached_property
    def growth(self) -> float:
        """Per-level scale b."""
        if self.levels == 1:
            return 1.0
        return math.exp(math.log(self.max_resolution / self.min_resolution) / (self.levels - 1))

    @cached_property
    def scale(self) -> Float32[np.ndarray, " L"]:
        """Cells a side of each level, as the factor on unit coordinates."""
        exponent = np.arange(self.levels, dtype=np.float32) * np.float32(math.log2(self.growth))
        return np.asarray(np.exp2(exponent) * np.float32(self.min_resolution) - 1, np.float32)

    @cached_property
    def resolution(self) -> Int64[np.ndarray, " L"]:
        """Vertices a side of each level."""
        return np.asarray(np.ceil(self.scale) + 1, np.int64)

    @cached_property
    def size(self) -> Int64[np.ndarray, " L"]:
        """Rows of each level: all vertices, rounded up to 8, but at most 2**log2_table."""
        dense = (self.resolution**3 + 7) // 8 * 8
        return np.asarray(np.minimum(dense, 1 << self.log2_table), np.int64)

    @cached_property
    def offset(self) -> Int64[np.ndarray, " L"]:
        """First row of each level."""
        return np.concatenate([[0], np.cumsum(self.size)[:-1]]).astype(np.int64)

    @property
    def rows(self) -> int:
        """Rows of the whole table."""
        return int(self.size.sum())

    @property
    def width(self) -> int:
        """Width of an encoding: levels * features."""
        return self.levels * self.features
