# SPDX-License-Identifier: Apache-2.0
"""From relevancies of surface points to one thing: which scale, which segment, which point, and is there a rival."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from lerf_ros.config import QueryConfig
from lerf_ros.core.relevancy import choose_scale
from lerf_ros.core.segments import Segments

OBJECT_SHARE = 0.2
"""The best fifth of a thing's points speaks for it: a mug may look like one mostly at its handle."""

PLANE_SHARE = 0.5
"""Half of a plane's points must match: next to a red mug the table looks like one too."""

MIN_SPEAKERS = 8


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
