# SPDX-License-Identifier: Apache-2.0
"""Object-level support: what all the points of a thing say together about a phrase, instead of its hottest one.

A thing's fit at a scale is the mean log-odds over the better half of its points; the thing's own best scale counts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from lerf_ros.core.relevancy import log_odds
from lerf_ros.core.segments import Segments

SHARE: Final = 0.5
"""The better half of a thing's points speaks for it: the other half is often seen edge-on or among its neighbours."""

PART_SHARE: Final = 0.2
"""A part is a fifth of the thing it is looked for on."""

MIN_SPEAKERS: Final = 8
NOTHING: Final = -30.0
"""Log-odds of a thing without points in use, and of points no view covers."""

NULL_POINTS: Final = 200
"""Points a thing that the null phrases are measured on: a mean needs no more."""


@dataclass(frozen=True)
class Support:
    """Points in use that belong to a thing, grouped by thing.

    Attributes:
        rows: indices of surface points.
        starts: first position in `rows` of each thing; the last entry is their number.
    """

    rows: Int64[np.ndarray, " M"]
    starts: Int64[np.ndarray, " K1"]

    @staticmethod
    def of(segments: Segments, use: Bool[np.ndarray, " N"]) -> "Support":
        """Group the points in `use`."""
        inside = np.flatnonzero(use & (segments.label >= 0))
        label = segments.label[inside]
        order = np.argsort(label, kind="stable")
        return Support(inside[order], np.searchsorted(label[order], np.arange(segments.count + 1)).astype(np.int64))

    def points(self, thing: int) -> Int64[np.ndarray, " M"]:
        """Return the surface points of a thing."""
        return self.rows[self.starts[thing] : self.starts[thing + 1]]

    def thinned(self, most: int) -> "Support":
        """Return at most `most` points a thing, evenly spread over its list."""
        kept = [mine[np.linspace(0, len(mine) - 1, min(len(mine), most)).astype(int)]
                for mine in map(self.points, range(len(self.starts) - 1))]  # fmt: skip
        return Support(np.concatenate([np.zeros(0, np.int64), *kept]),
                       np.concatenate([[0], np.cumsum([len(k) for k in kept])]).astype(np.int64))  # fmt: skip

    def fits(self, odds: Float32[np.ndarray, "*B M"], share: float = SHARE) -> Float32[np.ndarray, "*B K"]:
        """Return each thing's mean over the best `share` of its points (columns in the order of `rows`).

        Points that no view covers (minus infinity) are left out of it.
        """
        out = np.full((*odds.shape[:-1], len(self.starts) - 1), NOTHING, np.float32)
        for k in range(out.shape[-1]):
            mine = odds[..., self.starts[k] : self.starts[k + 1]]
            size = mine.shape[-1]
            speakers = min(size, max(MIN_SPEAKERS, round(share * size)))
            if speakers:
                out[..., k] = _mean_covered(np.partition(mine, size - speakers, axis=-1)[..., size - speakers :])
        return out


def _mean_covered(odds: Float32[np.ndarray, "*B m"]) -> Float32[np.ndarray, "*B"]:
    """Return the mean of what is finite, `NOTHING` where nothing is."""
    covered = np.isfinite(odds)
    count = covered.sum(axis=-1)
    total = np.where(covered, odds, np.float32(0)).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(NOTHING)).astype(np.float32)


def null_fits(
    embeddings: Float[Tensor, "S N D"],
    support: Support,
    null: Float[Tensor, "P D"],
    canonical: Float[Tensor, "C D"],
    share: float = SHARE,
) -> Float32[np.ndarray, "P K"]:
    """Return how well each null phrase fits each thing, at the scale where it fits best."""
    if not len(null):
        return np.zeros((0, len(support.starts) - 1), np.float32)
    few = support.thinned(NULL_POINTS)
    odds = log_odds(embeddings[:, torch.from_numpy(few.rows)], null, canonical)
    return np.asarray(few.fits(odds.numpy(), share).max(axis=1), np.float32)


def margins(
    fits: Float32[np.ndarray, " K"],
    nulls: Float32[np.ndarray, "P K"],
    similarity: Float32[np.ndarray, " P"],
    same_meaning: float,
) -> Float32[np.ndarray, " K"]:
    """Return how far each thing's fit exceeds that of the best null phrase that means something else; 0 without one.

    Args:
        fits: of the phrase asked.
        nulls: from `null_fits`.
        similarity: cosine of each null phrase's text to the phrase's.
        same_meaning: phrases at least this similar are left out.
    """
    other = nulls[similarity < same_meaning]
    return fits - other.max(axis=0) if len(other) else np.zeros_like(fits)
