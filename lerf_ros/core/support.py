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

from lerf_ros.core.odds import NOTHING, group_means, thing_odds
from lerf_ros.core.segments import Segments
from lerf_ros.core.snapshot import LanguageCache

SHARE: Final = 0.5
"""The better half of a thing's points speaks for it: the other half is often seen edge-on or among its neighbours."""

PART_SHARE: Final = 0.2
"""A part is a fifth of the thing it is looked for on."""

MIN_SPEAKERS: Final = 8

NULL_POINTS: Final = 200
"""Points a thing that the null phrases are measured on: a mean needs no more."""

AT_ONCE: Final = 8_000_000
"""Most log-odds held at a time (32 MB), whatever the number of points and phrases."""


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

    def speakers(self, share: float) -> Int64[np.ndarray, " K"]:
        """Return how many points speak for each thing: its best `share`, but eight at least where there are."""
        size = np.diff(self.starts)
        return np.minimum(size, np.maximum(MIN_SPEAKERS, np.rint(share * size).astype(np.int64)))


@dataclass(frozen=True)
class Fits:
    """What the points of each thing say about phrases.

    Attributes:
        fits: mean log-odds of a thing's best points at each scale. Points that no view covers are left out of it.
        hottest: the surface point with the largest log-odds.
        peaks: these; minus infinity where no point is covered.
    """

    fits: Float32[np.ndarray, "P S K"]
    hottest: Int64[np.ndarray, "P S K"]
    peaks: Float32[np.ndarray, "P S K"]


def ask(
    language: LanguageCache,
    positives: Float[Tensor, "P D"],
    negatives: Float[Tensor, "C D"],
    support: Support,
    share: float = SHARE,
) -> Fits:
    """Return what the points in use say about each phrase; as many phrases a pass as memory is meant for."""
    values, speakers = language.values, support.speakers(share)
    most = max(1, AT_ONCE // max(int(np.diff(support.starts).max(initial=1)), 1))
    parts = [
        thing_odds(values, support.rows, support.starts, speakers, language.texts(some, negatives), len(some))
        for some in torch.split(positives, most)
    ]
    return Fits(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def null_fits(
    language: LanguageCache,
    support: Support,
    null: Float[Tensor, "P D"],
    canonical: Float[Tensor, "C D"],
    share: float = SHARE,
) -> Float32[np.ndarray, "P K"]:
    """Return how well each null phrase fits each thing, at the scale where it fits best.

    Null phrases are hundreds, so that a plain matrix product is faster here than a pass over the rows.
    """
    few = support.thinned(NULL_POINTS)
    some, speakers = torch.from_numpy(few.rows), few.speakers(share)
    texts = torch.from_numpy(language.texts(null, canonical))
    best = np.full((len(null), len(few.starts) - 1), NOTHING, np.float32)
    for rows in language.rows:
        part = rows[some].float()
        product = texts @ part.T
        odds = product[: len(null)] - product[len(null) :].max(dim=0).values
        odds[:, ~part.any(dim=1)] = -torch.inf
        np.maximum(best, group_means(odds.numpy(), few.starts, speakers), out=best)
    return best


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
