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
        """Return each thing's mean over the best `share` of its points (columns in the order of `rows`)."""
        odds = np.maximum(odds, np.float32(NOTHING))
        out = np.full((*odds.shape[:-1], len(self.starts) - 1), NOTHING, np.float32)
        for k in range(out.shape[-1]):
            mine = odds[..., self.starts[k] : self.starts[k + 1]]
            size = mine.shape[-1]
            speakers = min(size, max(MIN_SPEAKERS, round(share * size)))
            if speakers:
                out[..., k] = np.partition(mine, size - speakers, axis=-1)[..., size - speakers :].mean(axis=-1)
        return out


def null_fits(
    embeddings: Float[Tensor, "S N D"], support: Support, null: Float[Tensor, "P D"], canonical: Float[Tensor, "C D"]
) -> Float32[np.ndarray, "P K"]:
    """Return how well each null phrase fits each thing, at the scale where it fits best."""
    few = support.thinned(NULL_POINTS)
    odds = log_odds(embeddings[:, torch.from_numpy(few.rows)], null, canonical)
    return np.asarray(few.fits(odds.numpy()).max(axis=1), np.float32)


def best_rivals(
    nulls: Float32[np.ndarray, "P K"], similarity: Float32[np.ndarray, " P"], same_meaning: float
) -> Float32[np.ndarray, " K"]:
    """Return the best fit on each thing of the null phrases that mean something else than the phrase asked.

    Args:
        nulls: from `null_fits`.
        similarity: cosine of each null phrase's text to the phrase's.
        same_meaning: phrases at least this similar are left out.
    """
    other = nulls[similarity < same_meaning]
    return np.asarray(other.max(axis=0, initial=NOTHING), np.float32)
