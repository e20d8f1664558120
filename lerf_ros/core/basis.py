# SPDX-License-Identifier: Apache-2.0
"""Embeddings in a compact basis: a map's embeddings span few of CLIP's directions, and phrases ask along few of them.

The basis is of the uncentred second moments of a sample; its rank is the smallest at which the relevancy of probe
phrases stays right on another sample. Coordinates are 16-bit integers: finer than bfloat16 wherever it counts.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Float32, Int16
from torch import Tensor

from lerf_ros.core.relevancy import relevancy

TOLERANCE: Final = 0.005
"""Largest error of a relevancy on the sample: half of what is promised of all points and phrases."""

PROBES: Final = (
    "a mug", "a book", "a chair", "a knife", "a cable", "a plant", "a shoe", "a screwdriver", "a banana", "a bottle",
    "a toy", "a hand", "the table", "a wall", "a robot", "a window", "paper", "metal", "wood", "glass", "food", "red",
    "blue", "something dangerous", "the left side", "qwertz",
)  # fmt: skip
"""Phrases that the basis is judged by, besides an encoder's own null phrases."""

RANK_STEP: Final = 16
"""Ranks are multiples of a vector register's float32."""

STEPS: Final = 32767
"""Of the integers to 1: coordinates of unit vectors."""

Sample = Float[Tensor, "M D"]
Basis = Float32[Tensor, "R D"]


@dataclass(frozen=True)
class Probes:
    """What a basis must keep apart: phrases, and the canonical ones they are compared with."""

    phrases: Float[Tensor, "P D"]
    canonical: Float[Tensor, "C D"]


def fitted(
    sample: Sample, check: Float[Tensor, "M2 D"], probes: Probes, limit: int,
    start: Float32[Tensor, "R0 D"] | None = None,
) -> tuple[Basis, float]:  # fmt: skip
    """Return orthonormal directions, and the largest error of a relevancy on `check` with them.

    Args:
        sample: embeddings to fit.
        check: others, to judge by.
        probes: what is asked of them.
        limit: largest rank.
        start: directions to keep; the others are added to them.
    """
    dim = sample.shape[1]
    most, first = min(dim, limit), 0 if start is None else len(start)
    basis = torch.zeros(0, dim) if start is None else start
    truth = relevancy(check[None], probes.phrases, probes.canonical)
    spread: Float[Tensor, "D D"] | None = None
    while True:
        error = _error(check, truth, basis, probes)
        if error <= TOLERANCE or len(basis) >= most:
            return basis, error
        if spread is None:
            rest = (sample - sample @ basis.T @ basis).double()
            spread = torch.linalg.eigh(rest.T @ rest)[1].T.flip(0)
        rank = min(most, (len(basis) // RANK_STEP + 1) * RANK_STEP)
        basis = _orthonormal(torch.cat([basis[:first].double(), spread[: rank - first]]))


def worst_error(check: Sample, basis: Basis, probes: Probes) -> float:
    """Return the largest error of a relevancy, of any probe phrase on any of the embeddings, in that basis."""
    return _error(check, relevancy(check[None], probes.phrases, probes.canonical), basis, probes)


def coordinates(embeddings: Float[Tensor, "*B D"], basis: Basis) -> Int16[Tensor, "*B R"]:
    """Return rounded coordinates of unit (or zero) vectors along orthonormal directions."""
    return (embeddings.float() @ basis.T).mul_(STEPS).round_().clamp_(-STEPS, STEPS).to(torch.int16)


def _error(check: Sample, truth: Float[Tensor, "P 1 M"], basis: Basis, probes: Probes) -> float:
    if not len(check):
        return 0.0
    near = check @ basis.T @ basis
    return float((relevancy(near[None], probes.phrases, probes.canonical) - truth).abs().max())


def _orthonormal(rows: Float[Tensor, "R D"]) -> Basis:
    """Return rows made orthogonal, each to those before it; those that are already stay as they are, sign included."""
    q, r = torch.linalg.qr(rows.T)
    found: Tensor = (q * torch.where(r.diagonal() < 0, -1.0, 1.0)).T.float().contiguous()
    return found
