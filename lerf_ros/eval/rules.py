# SPDX-License-Identifier: Apache-2.0
"""From a phrase to one surface point: the map's own answer, and the simple rules it is compared with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from scipy.spatial import cKDTree

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.localise import sigmoid
from lerf_ros.core.query import PromptAnswer, QueryRequest, Status, answer
from lerf_ros.core.relevancy import CANONICAL, choose_scale
from lerf_ros.core.search import segments_of
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import EvaluationError

AT_ONCE: Final = 4
"""Phrases at once: with 30 scales a phrase's relevancies are several megabytes."""

HOT: Final = 0.7
"""Points above this share of the range of relevancies are selected: LERF-OVS's threshold (2 x - 1 > 0.4)."""

POINT_RULES: Final = ("peak", "top", "mean")


@dataclass(frozen=True)
class Found:
    """Where a phrase was found.

    Attributes:
        point: index of the surface point.
        score: what tells present from absent phrases: the higher, the likelier it is there.
        probability: of it being there.
        values: relevancy of the surface points, 0 where the rule does not look.
        selected: the points taken to be the thing.
        status: of the map's own answer; "" for the other rules.
        centre: of the answer's extent.
    """

    point: int
    score: float
    probability: float
    values: Float32[np.ndarray, " N"]
    selected: Bool[np.ndarray, " N"]
    status: str = ""
    centre: Float64[np.ndarray, " 3"] | None = None


Relevancies = Float32[np.ndarray, "S N"]


def answers(
    snapshot: FieldSnapshot, phrases: Sequence[str], encoder: ImageTextEncoder, config: Config
) -> Iterator[Found]:
    """Yield the map's own answer to each phrase; where it says NOT_FOUND, what it would have answered with.

    Raises:
        EvaluationError: the map cannot be asked (it has no answerable surface, or too few keyframes).
    """
    honest = replace(config, query=replace(config.query, min_steps=0))
    forced = replace(honest, query=replace(honest.query, found_probability=0.0))
    tree = cKDTree(snapshot.surface.points)
    body = segments_of(snapshot, config.surface.min_views).body
    for start in range(0, len(phrases), AT_ONCE):
        request = QueryRequest(tuple(phrases[start : start + AT_ONCE]))
        said = answer(snapshot, request, encoder, honest, snapshot.stamp_ns)
        silent = any(a.status is Status.NOT_FOUND for a in said)
        meant = answer(snapshot, request, encoder, forced, snapshot.stamp_ns) if silent else said
        for a, b in zip(said, meant, strict=True):
            found = _found(a.status.name, b if a.status is Status.NOT_FOUND else a, len(snapshot.surface), tree)
            for other in a.instances[1:]:
                found.selected[body == body[tree.query(other.point)[1]]] = True
            yield found


def _found(status: str, told: PromptAnswer, size: int, tree: cKDTree) -> Found:
    if told.argmax_point is None or told.points is None or told.point_relevancy is None:
        raise EvaluationError(f"{told.prompt!r} was not answered: {told.status.name} {told.message}")
    rows = tree.query(told.points)[1]
    values, selected = np.zeros(size, np.float32), np.zeros(size, bool)
    values[rows], selected[rows] = told.point_relevancy, True
    return Found(
        int(tree.query(told.argmax_point)[1]), told.probability, told.probability, values, selected, status,
        None if told.extent is None else told.extent.centre,
    )  # fmt: skip


def by_points(
    snapshot: FieldSnapshot, phrases: Sequence[str], encoder: ImageTextEncoder, config: Config
) -> Iterator[dict[str, Found]]:
    """Yield what each of POINT_RULES finds for each phrase, among the points that enough views have seen."""
    use = snapshot.surface.answerable(config.surface.min_views)
    negatives = torch.from_numpy(encoder.encode_texts(CANONICAL))
    for start in range(0, len(phrases), AT_ONCE):
        positives = torch.from_numpy(encoder.encode_texts(phrases[start : start + AT_ONCE]))
        for found in sigmoid(snapshot.language.log_odds(positives, negatives)):
            yield {
                rule: _point(*RULES[rule](found[:, use], config.query.top_fraction), use)
                for rule in POINT_RULES
            }


def _point(values: Float32[np.ndarray, " M"], score: float, use: Bool[np.ndarray, " N"]) -> Found:
    """Return the hottest point; the score stands for the probability, as in LERF."""
    everywhere = np.zeros(len(use), np.float32)
    everywhere[use] = values
    best = int(np.flatnonzero(use)[values.argmax()])
    return Found(best, score, score, everywhere, use & hot(everywhere, use))


def hot(values: Float32[np.ndarray, " N"], use: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """Return which points are hot relative to the range of those in use."""
    low, high = float(values[use].min()), float(values[use].max())
    return np.asarray(values > low + HOT * (high - low))


def peak(found: Relevancies, top_fraction: float) -> tuple[Float32[np.ndarray, " N"], float]:
    """LERF: the hottest single point decides scale, place and score. Return that scale's values and the score."""
    del top_fraction
    scale = int(found.max(axis=1).argmax())
    return found[scale], float(found[scale].max())


def top(found: Relevancies, top_fraction: float) -> tuple[Float32[np.ndarray, " N"], float]:
    """The scale whose hottest share of points has the highest mean, which is the score; its hottest point."""
    scale, score = choose_scale(torch.from_numpy(np.ascontiguousarray(found)), top_fraction)
    return found[scale], score


def mean(found: Relevancies, top_fraction: float) -> tuple[Float32[np.ndarray, " N"], float]:
    """The point hottest in the mean over scales; that mean is the score."""
    del top_fraction
    values = found.mean(axis=0)
    return values, float(values.max())


RULES: Final[dict[str, Callable[[Relevancies, float], tuple[Float32[np.ndarray, " N"], float]]]] = {
    "peak": peak,
    "top": top,
    "mean": mean,
}
