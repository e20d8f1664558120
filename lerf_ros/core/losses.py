# SPDX-License-Identifier: Apache-2.0
"""The terms of the training loss, as pure functions. All distances in metres."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

CLIP_DELTA = 1.25


def photometric(predicted: Float[Tensor, "B 3"], target: Float[Tensor, "B 3"]) -> Float[Tensor, ""]:
    """Mean squared colour error (NeRF eq. 6)."""
    return functional.mse_loss(predicted, target)


def psnr_db(mse: float) -> float:
    """Peak signal-to-noise ratio of colours in [0, 1], decibels."""
    return float(-10.0 * torch.log10(torch.tensor(max(mse, 1e-10))))


def measured_depth(
    expected_t: Float[Tensor, " B"], surface_t: Float[Tensor, " B"], band: Float[Tensor, " B"]
) -> Float[Tensor, ""]:
    """Huber of the expected ray end against the measured one, in units of the band."""
    return functional.huber_loss(expected_t / band, surface_t / band, delta=1.0)


def free_space(
    weights: Float[Tensor, "B S"], t: Float[Tensor, "B S"], surface_t: Float[Tensor, " B"], band: Float[Tensor, " B"]
) -> Float[Tensor, ""]:
    """Weight in front of the surface, plus weight missing at it (Urban Radiance Fields eq. 8-10, hard band)."""
    distance = t - surface_t[:, None]
    empty = (weights * (distance < -band[:, None])).sum(-1)
    near = (weights * (distance.abs() <= band[:, None])).sum(-1)
    return (empty + (1 - near).square()).mean()


def clip_similarity(predicted: Float[Tensor, "B D"], target: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """1 - cosine; the target need not be a unit vector (LERF section 3.2)."""
    return (1 - functional.cosine_similarity(predicted, target, dim=-1)).mean()


def clip_huber(predicted: Float[Tensor, "B D"], target: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Huber loss summed over dimensions, mean over rays (LERF's released code)."""
    return functional.huber_loss(predicted, target, delta=CLIP_DELTA, reduction="none").sum(-1).mean()


def patch_features(predicted: Float[Tensor, "B P"], target: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """Squared error summed over dimensions, mean over rays: the DINO regulariser (LERF section 3.3)."""
    return (predicted - target).square().sum(-1).mean()
