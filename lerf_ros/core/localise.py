# SPDX-License-Identifier: Apache-2.0
"""From the log-odds of surface points to things: which one, at which scale, and which others match as well."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy.spatial import cKDTree

from lerf_ros.core.calibration import Calibration
from lerf_ros.core.segments import Segments
from lerf_ros.core.support import MIN_SPEAKERS, NOTHING, SHARE, Support, margins

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
class Place:
    """Where a phrase is matched.

    Attributes:
        matches: the things it fits best, best first; never empty.
        own: relevancy of each surface point by itself, at the best match's scale.
        relevancy: the same with the support of the thing the point belongs to.
    """

    matches: tuple[Match, ...]
    own: Float32[np.ndarray, " N"]
    relevancy: Float32[np.ndarray, " N"]

    @property
    def best(self) -> Match:
        """The best match."""
        return self.matches[0]


@dataclass(frozen=True)
class Nulls:
    """What a phrase is weighed against: how well null phrases fit each thing, and how near each is to the phrase."""

    fits: Float32[np.ndarray, "P K"]
    similarity: Float32[np.ndarray, " P"]


def localise(
    odds: Float32[np.ndarray, "S N"],
    segments: Segments,
    support: Support,
    nulls: Nulls,
    calibration: Calibration,
    share: float = SHARE,
) -> Place | None:
    """Return the things that a phrase fits, the likeliest first, by what their points say together; None without any.

    Args:
        odds: log-odds of the phrase at every scale and surface point.
        segments: the things.
        support: their points that may be asked.
        nulls: of the same points and share.
        calibration: evidence to probability.
        share: of a thing's points that speaks for it.
    """
    by_scale = support.fits(odds[:, support.rows], share)
    fits, scales = by_scale.max(axis=0), by_scale.argmax(axis=0)
    there = np.flatnonzero(fits > NOTHING)
    if not len(there):
        return None
    margin = margins(fits, nulls.fits, nulls.similarity, calibration.same_meaning)
    probability, relevancies = calibration.probability(fits, margin), sigmoid(fits)
    matches = []
    for k in there[np.argsort(-calibration.log_odds(fits, margin)[there], kind="stable")]:
        mine = support.points(int(k))
        point = int(mine[odds[scales[k], mine].argmax()])
        evidence = float(fits[k]), float(margin[k])
        matches.append(Match(int(k), int(scales[k]), point, *evidence, float(relevancies[k]), float(probability[k])))
    own = odds[matches[0].scale]
    whole = by_scale[matches[0].scale]
    supported = np.where(segments.body >= 0, 0.5 * (own + whole[segments.body]), own)
    return Place(tuple(matches), sigmoid(own), sigmoid(supported))


def localise_peak(odds: Float32[np.ndarray, "S N"], use: Bool[np.ndarray, " N"]) -> Place | None:
    """Return the hottest point over all scales, as LERF does; its relevancy stands for a probability."""
    inside = np.flatnonzero(use)
    if not len(inside):
        return None
    scale, column = np.unravel_index(int(odds[:, inside].argmax()), (len(odds), len(inside)))
    own = sigmoid(odds[scale])
    point = int(inside[column])
    hottest = float(odds[scale, point])
    return Place((Match(ANYWHERE, int(scale), point, hottest, 0.0, float(own[point]), float(own[point])),), own, own)


def sigmoid(odds: Float32[np.ndarray, " N"]) -> Float32[np.ndarray, " N"]:
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
