# SPDX-License-Identifier: Apache-2.0
"""Which stage of the pipeline loses an answer: each oracle puts the truth in place of all stages but some.

encoder: view averages (no field) on true segments. field: the field on true segments; both choose among the segments as
the query does, null phrases included, so that encoder and calibration are as they are. surface: whether any answerable
point would be a hit at all. segments: whether geometry found a segment that is the thing. selection: whether the
segment chosen is on a right object. What `answer` then loses is the point within that segment.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from scipy.spatial import cKDTree

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.localise import Nulls, localise
from lerf_ros.core.relevancy import CANONICAL
from lerf_ros.core.search import segments_of
from lerf_ros.core.segments import Plane, Segments
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.support import Support, null_fits
from lerf_ros.eval.observations import visible_surface
from lerf_ros.eval.questions import Question
from lerf_ros.eval.rules import Found
from lerf_ros.eval.truth import Truth
from lerf_ros.sim.camera import RenderedFrame
from lerf_ros.sim.scene import Scene

STAGES: Final = ("encoder", "field", "surface", "segments", "selection")
SEGMENT_IOU: Final = 0.5
OVERLAP: Final = 0.1
"""A segment is on an object when it has this share of its points there."""

NEAR_M: Final = 0.0075
"""A true surface point is covered when an answerable point is this near."""


class Oracles:
    """The oracles of one map.

    Args:
        snapshot: the map.
        averages: the same with the view averages in place of the field.
        distances_m: of every surface point to every object.
        visible: of each object, the surface that the scan's cameras have seen.
    """

    def __init__(
        self, snapshot: FieldSnapshot, averages: FieldSnapshot, truth: Truth, distances_m: Float64[np.ndarray, "K N"],
        visible: Sequence[Float64[np.ndarray, "_ 3"]], encoder: ImageTextEncoder, config: Config,
    ) -> None:  # fmt: skip
        self._snapshot, self._averages, self._truth = snapshot, averages, truth
        self._encoder, self._config, self._distances = encoder, config, distances_m
        self._use = snapshot.surface.answerable(config.surface.min_views)
        self._owner = truth.owners(distances_m)
        self._labels = segments_of(snapshot, config.surface.min_views).label
        self._coverage = [covered(cloud, snapshot.surface.points[self._use]) for cloud in visible]

    def ask(self, asked: Sequence[Question], found: Sequence[Found]) -> list[dict[str, float]]:
        """Return, for each question about something present, which stages are right; none for the others."""
        phrases = [q.phrase for q in asked]
        encoder, field = self._winners(self._averages, phrases), self._winners(self._snapshot, phrases)
        out: list[dict[str, float]] = []
        for k, question in enumerate(asked):
            if not question.objects:
                out.append({})
                continue
            right = question.objects
            reachable = self._truth.hits(self._distances, right)[self._use].any()
            out.append({
                "encoder": float(encoder[k] in right),
                "field": float(field[k] in right),
                "surface": float(reachable),
                "segments": float(self._segmented(right)),
                "selection": float(self._on(self._labels[found[k].point], right)),
                "coverage": float(np.mean([self._coverage[i] for i in right])),
            })  # fmt: skip
        return out

    def _winners(self, snapshot: FieldSnapshot, phrases: Sequence[str]) -> list[int]:
        """Return the object that wins each phrase (-1: none), were segments the truth; by the query's own rule."""
        truth = true_segments(self._owner)
        support = Support.of(truth, self._use)
        language, calibration = snapshot.language, self._encoder.calibration
        canonical = self._encoder.encode_texts(CANONICAL)
        known = self._encoder.encode_texts(calibration.null_phrases) if calibration.null_phrases else canonical[:0]
        negatives = torch.from_numpy(canonical)
        nulls = Nulls(null_fits(language, support, torch.from_numpy(known), negatives), known)
        positives = torch.from_numpy(self._encoder.encode_texts(phrases))
        places = localise(language, positives, negatives, truth, support, nulls, calibration)
        return [-1 if place is None else place.best.segment - 1 for place in places]

    def _segmented(self, right: Sequence[int]) -> bool:
        """Return whether a segment is about one of the right objects."""
        for index in right:
            mine = self._use & (self._owner == index)
            for label in np.unique(self._labels[mine & (self._labels >= 0)]):
                segment = self._labels == label
                if (mine & segment).sum() >= SEGMENT_IOU * (mine | segment).sum():
                    return True
        return False

    def _on(self, label: int, right: Sequence[int]) -> bool:
        mine = self._labels == label
        return bool(label >= 0 and np.isin(self._owner[mine], right).mean() >= OVERLAP)


def true_segments(owner: Int64[np.ndarray, " N"]) -> Segments:
    """Return the segmentation of a perfect eye: all that is no object is plane 0, object k is segment k + 1."""
    label = (owner + 1).astype(np.int32)
    rest = Plane(np.array([0.0, 0.0, 1.0]), 0.0)
    return Segments(label, label, (rest,), (rest,), int(label.max(initial=0)) + 1)


def covered(visible: Float64[np.ndarray, "M 3"], points: Float32[np.ndarray, "N 3"]) -> float:
    """Return the share of visible surface points with a mapped point nearby; 1 of nothing visible."""
    if not len(visible) or not len(points):
        return float(not len(visible))
    return float((cKDTree(points).query(visible, distance_upper_bound=NEAR_M)[0] < NEAR_M).mean())


def seen_surfaces(scene: Scene, frames: Sequence[RenderedFrame]) -> list[Float64[np.ndarray, "_ 3"]]:
    """Return the surface of each object that the frames show, as points in base_link."""
    clouds = [visible_surface(scene, frame) for frame in frames]
    points, owner = np.concatenate([c[0] for c in clouds]), np.concatenate([c[1] for c in clouds])
    return [points[owner == index] for index in range(len(scene.spec.objects))]

