# SPDX-License-Identifier: Apache-2.0
"""One optimiser step of networks and hash tables together, or none of it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lerf_ros.core.hashgrid import TableOptimiser


@dataclass(frozen=True)
class Rate:
    """Parameters that learn at one rate, and how strongly they are pulled to zero (in Adam's gradient)."""

    parameters: Sequence[nn.Parameter]
    lr: float
    weight_decay: float = 0.0


class Descent:
    """Adam over networks, and over hash tables that only a batch's rows of change.

    A step whose loss or gradient is not finite is skipped: weights, tables and moments stay, bit for bit.

    Attributes:
        skipped: steps skipped so far.
    """

    def __init__(self, rates: Iterable[Rate], tables: Sequence[TableOptimiser], table_lr: float) -> None:
        self.skipped = 0
        self._rates = list(rates)
        self._tables = tables
        self._table_lr = table_lr
        groups = [{"params": list(r.parameters), "lr": r.lr, "weight_decay": r.weight_decay} for r in self._rates]
        self._adam = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)

    def step(self, loss: Float[Tensor, ""], lr_ratio: float) -> bool:
        """Descend along the gradient of `loss` at `lr_ratio` of all rates; return whether that could be done."""
        finite = math.isfinite(float(loss.detach()))
        if finite:
            loss.backward()  # type: ignore[no-untyped-call]
            finite = self._gradients_are_finite()
        if finite:
            for group, rate in zip(self._adam.param_groups, self._rates, strict=True):
                group["lr"] = rate.lr * lr_ratio
            self._adam.step()
        for table in self._tables:
            table.step(self._table_lr * lr_ratio) if finite else table.discard()
        self._adam.zero_grad(set_to_none=True)
        self.skipped += not finite
        return finite

    def _gradients_are_finite(self) -> bool:
        """Look at the networks only. What reaches a table has passed its network's first layer: were it not finite, or
        the features or points it belongs to, neither were that layer's gradient."""
        gradients = [p.grad for rate in self._rates for p in rate.parameters if p.grad is not None]
        return math.isfinite(float(nn.utils.get_total_norm(gradients, norm_type=math.inf, foreach=True)))

    @torch.no_grad()
    def forget(self, parameter: nn.Parameter, row: int) -> None:
        """Clear the moments of a row of a parameter."""
        state = self._adam.state.get(parameter, {})
        for name in ("exp_avg", "exp_avg_sq"):
            if name in state:
                state[name][row] = 0.0
