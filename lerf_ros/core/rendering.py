# SPDX-License-Identifier: Apache-2.0
"""Volume rendering (NeRF eq. 3; LERF section 3.1), as pure functions."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def interval_lengths(t: Float[Tensor, "B S"], last_m: Float[Tensor, " B"]) -> Float[Tensor, "B S"]:
    """Return the length each sample stands for: to the next one; `last_m` for the last."""
    return torch.cat([t[:, 1:] - t[:, :-1], last_m[:, None]], dim=-1)


def render_weights(density: Float[Tensor, "B S"], delta: Float[Tensor, "B S"]) -> Float[Tensor, "B S"]:
    """Return the probability that the ray ends at each sample: T_i (1 - exp(-sigma_i delta_i)); the sum is <= 1."""
    optical = density * delta
    through = torch.exp(-torch.cumsum(torch.cat([torch.zeros_like(optical[:, :1]), optical[:, :-1]], dim=-1), dim=-1))
    return through * -torch.expm1(-optical)


def composite(weights: Float[Tensor, "B S"], values: Float[Tensor, "B S C"]) -> Float[Tensor, "B C"]:
    """Return the weighted sum along each ray."""
    return torch.einsum("bs,bsc->bc", weights, values)


def composite_unit(weights: Float[Tensor, "B S"], values: Float[Tensor, "B S C"]) -> Float[Tensor, "B C"]:
    """Return the weighted sum of unit vectors along each ray, made a unit vector after the sum (LERF section 3.1)."""
    return functional.normalize(composite(weights, values), dim=-1)


def expected_distance(weights: Float[Tensor, "B S"], t: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
    """Return the mean distance at which a ray ends, given that it ends."""
    return (weights * t).sum(-1) / weights.sum(-1).clamp_min(1e-6)


def median_distance(weights: Float[Tensor, "B S"], t: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
    """Return the distance of the first sample by which half of the weight is reached: robust at depth edges."""
    half = 0.5 * weights.sum(-1, keepdim=True)
    index = (weights.cumsum(-1) < half).sum(-1, keepdim=True).clamp_max(t.shape[-1] - 1)
    return t.gather(-1, index)[:, 0]


def top_samples(weights: Float[Tensor, "B S"], k: int) -> tuple[Float[Tensor, "B k"], torch.Tensor]:
    """Return the k largest weights of each ray, not renormalised, and their indices (as in LERF's code)."""
    values, indices = weights.topk(min(k, weights.shape[-1]), dim=-1)
    return values, indices
