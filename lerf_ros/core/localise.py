# SPDX-License-Identifier: Apache-2.0
"""From the log-odds of surface points to things: which one, at which scale, and which others match as well."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64, UInt8
from scipy.spatial import cKDTree
from torch import Tensor

from lerf_ros.core.calibration import Calibration
from lerf_ros.core.odds import NOTHING, point_odds
from lerf_ros.core.segments import Segments
from lerf_ros.core.snapshot import LanguageCache
from lerf_ros.core.support import MIN_SPEAKERS, SHARE, Support, ask, margins

COLD = 0.55
CONTRAST = 0.35
OTHER_COLOUR = 60.0
"""Things that touch are one segment. It is cut where relevancy falls by `CONTRAST` to below `COLD` and colours differ
by this much (RGB). A hammer with a dark head stays whole: the phrase that fits the whole fits its head too."""

ANYWHERE = -1
"""In place of a segment, when a point stands for itself."""


@dataclass(frozen=True)
class Match:
    """A thing, and how well a phrase fits it.

    Attributes:
        segment: index of the thing, `ANYWHERE` with the rule `peak`.
        scale: index of the scale at which it fits best.
        point: index of its hottest surface point at that scale.
        fit: log-odds of the thing as a whole.
        margin: how far they exceed those of the best null phrase; 0 if there is none.
        relevancy: of the thing as a whole: the fit as a share.
        probability: that it is what the phrase names.
    """

    segment: int
    scale: int
    point: int
    fit: float
    margin: float
    relevancy: float
    probability: float


@dataclass(frozen=True)
class Heat:
    """Relevancy of single points to one phrase at one scale, worked out for the points that are asked for.

    Attributes:
        language: of the map.
        texts: the phrase and its negatives, as `LanguageCache.texts` returns them.
        scale: index of the scale.
        body: the thing each surface point belongs to; None: each stands for itself.
        fits: log-odds of the things as wholes at that scale.
    """

    language: LanguageCache
    texts: Float32[np.ndarray, "T R"]
    scale: int
    body: Int32[np.ndarray, " N"] | None = None
    fits: Float32[np.ndarray, " K"] | None = None

    def own(self, rows: Int64[np.ndarray, " M"]) -> Float32[np.ndarray, " M"]:
        """Return the relevancy of some surface points by themselves."""
        return sigmoid(self._odds(rows))

    def supported(self, rows: Int64[np.ndarray, " M"] | None = None) -> Float32[np.ndarray, " M"]:
        """Return the same with the support of the thing each belongs to, of some points or (None) all."""
        some = np.arange(self.language.rows.shape[1]) if rows is None else rows
        own = self._odds(some)
        if self.body is None or self.fits is None:
            return sigmoid(own)
        thing = self.body[some]
        return sigmoid(np.where(thing >= 0, np.float32(0.5) * (own + self.fits[thing]), own))

    def _odds(self, rows: Int64[np.ndarray, " M"]) -> Float32[np.ndarray, " M"]:
        found: Float32[np.ndarray, " M"] = point_odds(self.language.values[self.scale], rows, self.texts, 1)[0]
        return found


@dataclass(frozen=True)
class Place:
    """Where a phrase is matched.

    Attributes:
        matches: the things it fits best, best first; never empty.
        heat: relevancy of the surface points at the best match's scale.
    """

    matches: tuple[Match, ...]
    heat: Heat

    @property
    def best(self) -> Match:
        """The best match."""
        return self.matches[0]


@dataclass(frozen=True)
class Nulls:
    """What phrases are weighed against: how well null phrases fit each thing, and their texts."""

    fits: Float32[np.ndarray, "P K"]
    texts: Float32[np.ndarray, "P D"]


def localise(
    language: LanguageCache,
    positives: Float[Tensor, "P D"],
    negatives: Float[Tensor, "C D"],
    segments: Segments,
    support: Support,
    nulls: Nulls,
    calibration: Calibration,
    share: float = SHARE,
) -> list[Place | None]:
    """Return the things that each phrase fits, the likeliest first, by what their points say together; None without.

    Args:
        language: of the map.
        positives: the phrases.
        negatives: what they are compared with.
        segments: the things.
        support: their points that may be asked.
        nulls: of the same points and share.
        calibration: evidence to probability.
        share: of a thing's points that speaks for it.
    """
    found = ask(language, positives, negatives, support, share)
    places: list[Place | None] = []
    for p, positive in enumerate(positives.numpy()):
        fits, scales = found.fits[p].max(axis=0), found.fits[p].argmax(axis=0)
        margin = margins(fits, nulls.fits, nulls.texts @ positive, calibration.same_meaning)
        matches = _matches(fits, scales, margin, found.hottest[p], calibration)
        if not matches:
            places.append(None)
            continue
        scale = matches[0].scale
        texts = language.texts(positives[p : p + 1], negatives)
        places.append(Place(matches, Heat(language, texts, scale, segments.body, found.fits[p, scale])))
    return places


def _matches(
    fits: Float32[np.ndarray, " K"], scales: Int64[np.ndarray, " K"], margin: Float32[np.ndarray, " K"],
    hottest: Int64[np.ndarray, "S K"], calibration: Calibration,
) -> tuple[Match, ...]:  # fmt: skip
    """Return the things that a phrase can be said about, the likeliest first."""
    probability, relevancies = calibration.probability(fits, margin), sigmoid(fits)
    there = np.flatnonzero(fits > NOTHING)
    return tuple(
        Match(
            int(k), int(scales[k]), int(hottest[scales[k], k]), float(fits[k]), float(margin[k]), float(relevancies[k]),
            float(probability[k]),
        )
        for k in there[np.argsort(-calibration.log_odds(fits, margin)[there], kind="stable")]
    )  # fmt: skip


def localise_peak(
    language: LanguageCache,
    positives: Float[Tensor, "P D"],
    negatives: Float[Tensor, "C D"],
    use: Bool[np.ndarray, " N"],
) -> list[Place | None]:
    """Return the hottest point of each phrase over all scales, as LERF does; its relevancy stands for a probability."""
    rows = np.flatnonzero(use)
    found = ask(language, positives, negatives, Support(rows, np.array([0, len(rows)])), 0.0)
    places: list[Place | None] = []
    for p in range(len(positives)):
        scale = int(found.peaks[p, :, 0].argmax())
        peak = float(found.peaks[p, scale, 0])
        share = float(sigmoid(found.peaks[p, scale])[0])
        match = Match(ANYWHERE, scale, int(found.hottest[p, scale, 0]), peak, 0.0, share, share)
        heat = Heat(language, language.texts(positives[p : p + 1], negatives), scale)
        places.append(Place((match,), heat) if np.isfinite(peak) else None)
    return places


def sigmoid(odds: Float32[np.ndarray, "*B"]) -> Float32[np.ndarray, "*B"]:
    """Return relevancies in [0, 1] of log-odds; minus infinity is 0."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.maximum(odds, np.float32(-80.0)))) * np.isfinite(odds), np.float32)


def hot_part(
    points: Float32[np.ndarray, "M 3"], colours: UInt8[np.ndarray, "M 3"], values: Float32[np.ndarray, " M"],
    voxel_m: float,
) -> Bool[np.ndarray, " M"]:  # fmt: skip
    """Return which points of a segment belong to the thing that was asked for, if another one touches it; else all."""
    everything = np.ones(len(points), bool)
    levels = np.clip(values * 255, 0, 255).astype(np.uint8)
    hot = levels > cv2.threshold(levels[:, None], 0, 255, cv2.THRESH_OTSU)[0]
    if min(hot.sum(), (~hot).sum()) < max(MIN_SPEAKERS, 0.1 * len(points)):
        return everything
    warm, cold = float(values[hot].mean()), float(values[~hot].mean())
    apart = np.linalg.norm(np.median(colours[hot], axis=0) - np.median(colours[~hot], axis=0))
    if cold > COLD or warm - cold < CONTRAST or apart < OTHER_COLOUR:
        return everything
    _, neighbours = cKDTree(points).query(points, k=min(12, len(points)), distance_upper_bound=3 * voxel_m)
    padded = np.append(hot, False)  # the tree answers len(points) for neighbours that are not there
    votes = padded[neighbours].sum(axis=1) / np.maximum((neighbours < len(points)).sum(axis=1), 1)
    part = np.asarray(votes > 0.5, np.bool_)
    return part if part.sum() >= MIN_SPEAKERS else everything
