# SPDX-License-Identifier: Apache-2.0
"""A hash grid and its optimiser, by backend and device."""

from typing import Protocol, runtime_checkable

import torch

from lerf_ros.core.hashgrid.adam import BETA_1, BETA_2, TableAdam
from lerf_ros.core.hashgrid.grids import HashGrid, NumbaHashGrid, TorchHashGrid
from lerf_ros.core.hashgrid.layout import GridLayout
from lerf_ros.core.hashgrid.tcnn import TcnnHashGrid
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.errors import BackendError

CPU = torch.device("cpu")


@runtime_checkable
class TableOptimiser(Protocol):
    """Steps one table."""

    def step(self, lr: float) -> None:
        """Apply `table.grad` with rate `lr` and clear it."""

    def discard(self) -> None:
        """Clear the gradient without applying it: table and moments stay as they are."""


class DeviceTableAdam:
    """torch's fused Adam over the whole table, on whatever device it is."""

    def __init__(self, grid: HashGrid, weight_decay: float = 0.0) -> None:
        self._adam = torch.optim.Adam(
            [grid.table], betas=(BETA_1, BETA_2), eps=1e-15, weight_decay=weight_decay, fused=True
        )

    def step(self, lr: float) -> None:
        """Apply `table.grad` with rate `lr` and clear it."""
        self._adam.param_groups[0]["lr"] = lr
        self._adam.step()
        self.discard()

    def discard(self) -> None:
        """Clear the gradient without applying it: table and moments stay as they are."""
        self._adam.zero_grad(set_to_none=True)


def make_grid(layout: GridLayout, backend: str, seed: int, workers: Workers, device: torch.device = CPU) -> HashGrid:
    """Return a hash grid of the backend numba (CPU), torch (any device) or tcnn (CUDA).

    Raises:
        BackendError: the backend is unknown, or its library is absent.
    """
    if backend == "numba":
        return NumbaHashGrid(layout, seed, workers)
    if backend == "torch":
        return TorchHashGrid(layout, seed).to(device)
    if backend == "tcnn":
        return TcnnHashGrid(layout, seed, device)
    raise BackendError(f"unknown hash-grid backend {backend!r}: choose numba, torch or tcnn")


def make_optimiser(grid: HashGrid, workers: Workers, weight_decay: float = 0.0) -> TableOptimiser:
    """Return Adam for a grid's table: the one that leaves alone what no batch touched, where the table is on a CPU."""
    if grid.table.device.type == "cpu":
        return TableAdam(grid, workers, weight_decay)
    return DeviceTableAdam(grid, weight_decay)
