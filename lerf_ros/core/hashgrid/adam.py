# SPDX-License-Identifier: Apache-2.0
"""Adam for hash tables: a step touches only the rows a batch touched."""

from typing import no_type_check

import numpy as np
import torch

from lerf_ros.core.hashgrid.grids import HashGrid
from lerf_ros.core.hashgrid.kernels import MARKED_ROWS_LOG2, Array, jit
from lerf_ros.core.hashgrid.workers import Workers

BETA_1, BETA_2 = 0.9, 0.99


class TableAdam:
    """Adam (beta .9, .99, eps 1e-15: Mueller et al. 2022, section 4) over one CPU table, skipping entries without a
    gradient, as tiny-cuda-nn does."""

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
        arrays = (self._grid.table.detach().numpy(), self._m, self._v, self._grid.table.grad.numpy())
        marks = self._grid.marks()
        parts = []
        for s in self._workers.spans(len(marks)):
            rows = slice(s.start << MARKED_ROWS_LOG2, s.stop << MARKED_ROWS_LOG2)
            parts.append((*(array[rows] for array in arrays), marks[s], np.float32(lr), c1, c2, self._decay))
        self._workers.run(_adam_blocks, parts)

    @torch.no_grad()
    def discard(self) -> None:
        """Clear the gradient without applying it: table and moments stay as they are."""
        if self._grid.table.grad is not None:
            self._grid.table.grad.zero_()


@jit
@no_type_check
def _adam_blocks(
    p: Array, m: Array, v: Array, grad: Array, marks: Array, lr: np.float32, c1: np.float32, c2: np.float32,
    decay: np.float32,
) -> None:  # fmt: skip
    """Adam (beta .9, .99) on the entries whose gradient is not zero; clears gradient and marks in the same pass.

    Blocks of rows without a mark are not even looked at, those whose gradient is all zero are not written.
    """
    for block in range(len(marks)):
        if marks[block]:
            marks[block] = 0
            r = slice(block << MARKED_ROWS_LOG2, (block + 1) << MARKED_ROWS_LOG2)
            g = grad[r].reshape(-1)
            bits = np.int32(0)
            for each in g.view(np.int32):
                bits |= each
            if bits:
                _adam(p[r].reshape(-1), m[r].reshape(-1), v[r].reshape(-1), g, lr, c1, c2, decay)


@jit
@no_type_check
def _adam(
    p: Array, m: Array, v: Array, grad: Array, lr: np.float32, c1: np.float32, c2: np.float32, decay: np.float32
) -> None:
    zero = np.float32(0)
    for i in range(len(p)):
        touched = grad[i] != zero
        g = grad[i] + decay * p[i]
        m_i = np.float32(0.9) * m[i] + np.float32(0.1) * g
        v_i = np.float32(0.99) * v[i] + np.float32(0.01) * g * g
        p_i = p[i] - lr * (m_i * c1) / (np.sqrt(v_i * c2) + np.float32(1e-15))
        # Chosen, not branched on: vectors have no branches.
        m[i] = m_i if touched else m[i]
        v[i] = v_i if touched else v[i]
        p[i] = p_i if touched else p[i]
        grad[i] = zero
