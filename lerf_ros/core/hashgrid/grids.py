# SPDX-License-Identifier: Apache-2.0
"""The three hash grids behind one interface, differentiable with respect to the table and, where asked, the points."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lerf_ros.core.hashgrid import kernels
from lerf_ros.core.hashgrid.kernels import Array
from lerf_ros.core.hashgrid.layout import PRIMES, GridLayout
from lerf_ros.core.hashgrid.workers import Workers

INITIAL_RANGE = 1e-2


class HashGrid(nn.Module):
    """A table of features and its trilinear lookup.

    Attributes:
        table: float32 [rows, F], the only parameter.
    """

    table: nn.Parameter

    def __init__(self, layout: GridLayout, seed: int) -> None:
        super().__init__()
        self.layout = layout
        generator = np.random.default_rng(seed)
        values = generator.uniform(-INITIAL_RANGE, INITIAL_RANGE, (layout.rows, layout.features))
        self.table = nn.Parameter(torch.from_numpy(values.astype(np.float32)))

    @abstractmethod
    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N LF"]:
        """Return the features of unit-cube points; points outside are clamped to the cube."""

    def release(self) -> None:
        """Give the gradient back, between two steps; the next one makes it anew."""
        self.table.grad = None

    def marks(self) -> Array:
        """Return a flag for every 128 rows: 0 where `table.grad` is zero for certain. Who clears it clears these."""
        return np.ones(-(-self.layout.rows >> kernels.MARKED_ROWS_LOG2), np.uint8)


class TorchHashGrid(HashGrid):
    """The slow reference: plain torch indexing, autograd gradients."""

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N LF"]:
        x = x.clamp(0.0, 1.0)
        return torch.cat([self._level(x, level) for level in range(self.layout.levels)], dim=-1)

    def _level(self, x: Float[Tensor, "N 3"], level: int) -> Float[Tensor, "N F"]:
        position = x * float(self.layout.scale[level]) + 0.5
        low = position.detach().floor()
        fraction = position - low
        total = torch.zeros(x.shape[0], self.layout.features, dtype=self.table.dtype, device=x.device)
        for corner in range(8):
            bits = torch.tensor([corner & 1, (corner >> 1) & 1, corner >> 2], device=x.device)
            weight = torch.where(bits.bool(), fraction, 1 - fraction).prod(dim=-1, keepdim=True)
            total = total + weight * self.table[self._rows(low.long() + bits, level)]
        return total

    def _rows(self, vertex: Int64[Tensor, "N 3"], level: int) -> Int64[Tensor, " N"]:
        resolution, size = int(self.layout.resolution[level]), int(self.layout.size[level])
        if resolution**3 <= size:
            index = (vertex * torch.tensor([1, resolution, resolution**2], device=vertex.device)).sum(-1)
        else:
            hashed = (vertex * torch.tensor(PRIMES, device=vertex.device)) & 0xFFFFFFFF
            index = hashed[:, 0] ^ hashed[:, 1] ^ hashed[:, 2]
        return index % size + int(self.layout.offset[level])


class NumbaHashGrid(HashGrid):
    """The fast one on CPUs. Its backward adds into `table.grad` in place."""

    def __init__(self, layout: GridLayout, seed: int, workers: Workers) -> None:
        super().__init__(layout, seed)
        self.workers = workers
        self._marks = super().marks()
        self._own_gradient: Tensor | None = None

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N LF"]:
        out: Tensor = _NumbaEncode.apply(x.clamp(0.0, 1.0), self.table, self)
        return out

    def encode(self, points: Array) -> Array:
        """Return the features [L*F, N] of contiguous float32 points [3, N] in the unit cube, without autograd."""
        out = np.empty((self.layout.width, points.shape[1]), np.float32)
        table, lay = self.table.detach().numpy(), self.layout
        self.workers.run(
            kernels.encode,
            [(points, table, lay.scale, lay.resolution, lay.offset, lay.size, share, out) for share in self._shares()],
        )
        return out

    def scatter(self, points: Array, grad_out: Array) -> None:
        """Add the gradient [L*F, N] of an encoding to `table.grad`."""
        if self.table.grad is None:
            # numpy's: it asks for huge pages, torch does not.
            self.table.grad = self._own_gradient = torch.from_numpy(np.zeros(tuple(self.table.shape), np.float32))
            self._marks[:] = 0
        grad, lay = self.table.grad.numpy(), self.layout
        self.workers.run(
            kernels.scatter,
            [
                (points, grad_out, lay.scale, lay.resolution, lay.offset, lay.size, share, grad, self._marks)
                for share in self._shares()
            ],
        )

    def release(self) -> None:
        self.table.grad = self._own_gradient = None

    def marks(self) -> Array:
        """As `scatter` left them; all, when the gradient is not its work alone."""
        return self._marks if self.table.grad is self._own_gradient else super().marks()

    def differentiate(self, points: Array, grad_out: Array) -> Array:
        """Return the gradient of an encoding with respect to its points, [3, N]."""
        out = np.zeros_like(points)
        table, lay = self.table.detach().numpy(), self.layout
        self.workers.run(
            kernels.differentiate,
            [
                (points, table, grad_out, lay.scale, lay.resolution, lay.offset, lay.size, out, s.start, s.stop)
                for s in self.workers.spans(points.shape[1])
            ],
        )
        return out

    def _shares(self) -> list[Array]:
        """Return the levels of each thread: interleaved, so that every thread gets coarse (cached) and fine ones."""
        threads = self.workers.threads
        return [np.arange(i, self.layout.levels, threads) for i in range(threads)]


class _NumbaEncode(torch.autograd.Function):
    """Both gradients stay as the kernels have them, axis by axis; transposed views are as good to a matrix product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, grid: NumbaHashGrid) -> Tensor:
        ctx.points, ctx.grid = x.detach().T.contiguous().numpy(), grid
        return torch.from_numpy(grid.encode(ctx.points)).T

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, None, None]:
        gradient = grad_out.T.contiguous().numpy()
        ctx.grid.scatter(ctx.points, gradient)
        if not ctx.needs_input_grad[0]:
            return None, None, None
        return torch.from_numpy(ctx.grid.differentiate(ctx.points, gradient)).T, None, None
