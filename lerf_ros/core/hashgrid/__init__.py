# SPDX-License-Identifier: Apache-2.0
"""Multi-resolution hash encoding (Mueller et al. 2022) in tiny-cuda-nn's parameter layout; three backends.

`numba` is the fast one on CPUs, `torch` the slow reference, `tcnn` the CUDA one. A table of one opens in another.
"""

from lerf_ros.core.hashgrid.adam import TableAdam
from lerf_ros.core.hashgrid.grids import HashGrid
from lerf_ros.core.hashgrid.layout import GridLayout
from lerf_ros.core.hashgrid.making import TableOptimiser, make_grid, make_optimiser

__all__ = ["GridLayout", "HashGrid", "TableAdam", "TableOptimiser", "make_grid", "make_optimiser"]
