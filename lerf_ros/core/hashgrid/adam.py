# SPDX-License-Identifier: Apache-2.0
"""Adam for hash tables: a step touches only the rows a batch touched."""

import numpy as np
import torch

from lerf_ros.core.hashgrid import kernels
from lerf_ros.core.hashgrid.grids import HashGrid
from lerf_ros.core.hashgrid.workers import Workers

BETA_1, BETA_2 = 0.9, 0.99


class TableAdam:
    """Adam (beta .9, .99, eps 1e-15: Mueller et al. 2022, section 4) over one CPU table, skipping untouched rows."""

    def __init__(self, grid: HashGrid, workers: Workers, weight_decay: float = 0.0) -> None:
        self._grid = grid
        self._workers = workers
        self._decay = np.float32(weight_decay)
        self._steps = 0
        self._m = np.zeros(tuple(grid.table.shape), np.float32)
        self._v = np.zeros_like(self._m)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Apply `table.grad` with rate `lr` and clear it."""
        if self._grid.table.grad is None:
            return
        self._steps += 1
        c1 = np.float32(1 / (1 - BETA_1**self._steps))
        c2 = np.float32(1 / (1 - BETA_2**self._steps))
        table, grad = self._grid.table.detach().numpy(), self._grid.table.grad.numpy()
        self._workers.run(
            kernels.adam_rows,
            [(table[s], self._m[s], self._v[s], grad[s], np.float32(lr), c1, c2, self._decay)
             for s in self._workers.spans(len(table))],
        )  # fmt: skip
