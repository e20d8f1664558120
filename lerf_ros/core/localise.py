# SPDX-License-Identifier: Apache-2.0
"""From relevancies of surface points to one thing: which scale, which segment, which point, and is there a rival."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from scipy.spatial import cKDTree
from torch import Tensor

from lerf_ros.config import QueryConfig
from lerf_ros.core.relevancy import choose_scale
from lerf_ros.core.segments import Segments

OBJECT_SHARE = 0.2
"""The best fifth of a thing's points speaks for it: a mug may look like one mostly at its handle."""

PLANE_SHARE = 0.5
"""Half of a plane's points must match: next to a red mug the table looks like one too."""

MIN_SPEAKERS = 8

COLD = 0.55
CONTRAST = 0.35
OTHER_COLOUR = 60.0
"""Things that touch are one segment. It is cut where relevancy falls by `CONTRAST` to below `COLD` and colours differ
by this much (RGB). A hammer with a dark head stays whole: the phrase that fits the whole fits its head too."""


@dataclass(frozen=True)
class Place:
    """Where a phrase is best matched.

    Attributes:
        scale: index of the chosen scale.
        segment: index of the thing.
        point: index of its hottest surface point.
        score: relevancy of the thing: mean of its best points, at that scale.
        rival: the next best other thing's score at that scale, and that thing; 0 and -1 if there is none.
        relevancy: of all points at that scale.
    """

    scale: int
    segment: int
    point: int
    score: float
    rival: tuple[float, int]
    relevancy: Float32[np.ndarray, " N"]


def localise(
    relevancies: Float32[Tensor, "S N"], segments: Segments, use: Bool[np.ndarray, " N"], config: QueryConfig
) -> Place | None:
    """Return the best place among the points in `use`; None if no segment has any."""
    inside = np.flatnonzero(use & (segments.label >= 0))
    if not len(inside):
        return None
    scale, _ = choose_scale(relevancies[:, torch.from_numpy(inside)], config.top_fraction)
    values = relevancies[scale].numpy()
    scores = segment_scores(values[inside], segments.label[inside], segments)
    order = np.argsort(-scores)
    best = int(order[0])
    mine = inside[segments.label[inside] == best]
    others = [int(k) for k in order[1:2] if segments.is_object(int(k)) and segments.is_object(best)]
    rival = (float(scores[others[0]]), others[0]) if others else (0.0, -1)
    return Place(scale, best, int(mine[values[mine].argmax()]), float(scores[best]), rival, values)


def segment_scores(
    values: Float32[np.ndarray, " M"], label: np.ndarray, segments: Segments
) -> Float32[np.ndarray, " K"]:
    """Return each segment's score: the mean of its best points; 0 for segments without points here."""
    scores = np.zeros(segments.count, np.float32)
    order = np.lexsort((-values, label))
    starts = np.searchsorted(label[order], np.arange(segments.count + 1))
    for k in range(segments.count):
        size = int(starts[k + 1] - starts[k])
        share = OBJECT_SHARE if segments.is_object(k) else PLANE_SHARE
        speakers = min(size, max(MIN_SPEAKERS, round(share * size)))
        if speakers:
            scores[k] = values[order[starts[k] : starts[k] + speakers]].mean()
    return scores


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
