# SPDX-License-Identifier: Apache-2.0
"""Phrases in, typed answers out, over one immutable snapshot."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.extent import Extent, oriented_extent
from lerf_ros.core.grasp import GraspCandidate, propose
from lerf_ros.core.localise import Place, hot_part, localise
from lerf_ros.core.phrases import Corner, check_request, phrase_fault
from lerf_ros.core.relevancy import CANONICAL, relevancy
from lerf_ros.core.segments import Segments, segment
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.surface import SurfaceMap
from lerf_ros.errors import EncoderError

DEFAULT_TARGETS = 5


class Status(IntEnum):
    """Kinds of answer; the numbers of lerf_ros/msg/QueryResult."""

    FOUND = 0
    NOT_FOUND = 1
    AMBIGUOUS = 2
    NOT_READY = 3
    STALE = 4
    BAD_REQUEST = 5
    INTERNAL = 6


@dataclass(frozen=True)
class QueryRequest:
    """What is asked.

    Attributes:
        prompts: phrases.
        negatives: phrases the prompts must beat besides the canonical ones.
        within: an object phrase; the prompts are then parts of that object. "" = anywhere.
        region: lower and upper corner of a box in the map's frame, metres. None = the whole workspace.
        max_points: most cloud points a phrase, 0 = as configured.
        max_targets: most grasp targets a phrase, 0 = 5.
        plan_grasps: fill in `targets`.
    """

    prompts: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    within: str = ""
    region: tuple[Corner, Corner] | None = None
    max_points: int = 0
    max_targets: int = 0
    plan_grasps: bool = False


@dataclass(frozen=True)
class PromptAnswer:
    """The answer to one phrase, in the map's frame. What does not apply keeps its default.

    Attributes:
        prompt: the phrase, as asked.
        status: kind of answer.
        message: why, for a person.
        probability: calibrated, in [0, 1].
        relevancy: of the best match, in [0, 1].
        scale_m: physical size it was matched at, metres.
        argmax_point: the best point, metres.
        extent: oriented box around the thing.
        points, colours, point_relevancy: its surface points.
        targets: ways to grasp it, best first.
    """

    prompt: str
    status: Status
    message: str = ""
    probability: float = 0.0
    relevancy: float = 0.0
    scale_m: float = 0.0
    argmax_point: Float32[np.ndarray, " 3"] | None = None
    extent: Extent | None = None
    points: Float32[np.ndarray, "M 3"] | None = None
    colours: UInt8[np.ndarray, "M 3"] | None = None
    point_relevancy: Float32[np.ndarray, " M"] | None = None
    targets: tuple[GraspCandidate, ...] = ()


def answer(
    snapshot: FieldSnapshot | None, request: QueryRequest, encoder: ImageTextEncoder, config: Config, now_ns: int
) -> tuple[PromptAnswer, ...]:
    """Answer every prompt, in order, from one snapshot (None: there is no map yet).

    Raises:
        PromptError: the request as a whole cannot be answered.
        EncoderError: the snapshot was made with another encoder than the one given.
    """
    check_request(request.prompts, request.negatives, request.within, request.region, config.query)
    faults = {p: phrase_fault(p, config.query) for p in request.prompts}
    good = tuple(p for p, fault in faults.items() if not fault)
    answers = {p: PromptAnswer(p, Status.BAD_REQUEST, fault) for p, fault in faults.items() if fault}
    blocked = _unready(snapshot, config)
    if snapshot is None or blocked:
        answers |= {p: PromptAnswer(p, Status.NOT_READY, blocked) for p in good}
    elif good:
        _check_encoder(snapshot, encoder)
        found = _Search(snapshot, request, encoder, config).run(good)
        answers |= {a.prompt: _aged(a, snapshot, config, now_ns) for a in found}
    return tuple(answers[p] for p in request.prompts)


def _unready(snapshot: FieldSnapshot | None, config: Config) -> str:
    """Return why no phrase can be answered yet, "" if they can."""
    need = config.query
    if snapshot is None:
        return "there is no map yet: no keyframe has been trained on"
    if snapshot.keyframes < need.min_keyframes:
        return f"the map has {snapshot.keyframes} of at least {need.min_keyframes} keyframes: show it more views"
    if snapshot.step < need.min_steps:
        return f"the map has trained {snapshot.step} of at least {need.min_steps} steps: ask again in some seconds"
    if not snapshot.surface.answerable(config.surface.min_views).any():
        return f"no surface inside the workspace has been seen by {config.surface.min_views} keyframes yet"
    return ""


def _check_encoder(snapshot: FieldSnapshot, encoder: ImageTextEncoder) -> None:
    mine, theirs = (encoder.name, encoder.sha256), (snapshot.encoder_name, snapshot.encoder_sha256)
    if mine[1] != theirs[1] or (not mine[1] and mine[0] != theirs[0]):
        raise EncoderError(f"the map was made with encoder {theirs[0]} ({theirs[1][:12]}), not with {mine[0]} "
                           f"({mine[1][:12]}): load that one, or map anew")


def _aged(found: PromptAnswer, snapshot: FieldSnapshot, config: Config, now_ns: int) -> PromptAnswer:
    """Turn FOUND into STALE when the map has not seen anything for too long."""
    age_s = (now_ns - snapshot.stamp_ns) * 1e-9
    limit_s = config.query.stale_after_s
    if found.status is not Status.FOUND or not limit_s or age_s <= limit_s:
        return found
    message = f"the newest keyframe is {age_s:.1f} s old, more than query.stale_after_s = {limit_s:g}"
    return replace(found, status=Status.STALE, message=" ".join(filter(None, (message, found.message))))


_segments: WeakKeyDictionary[SurfaceMap, Segments] = WeakKeyDictionary()
_segments_lock = threading.Lock()


def segments_of(surface: SurfaceMap, min_views: int) -> Segments:
    """Return the things in a surface map; computed once for each."""
    with _segments_lock:
        if surface not in _segments:
            _segments[surface] = segment(surface, surface.answerable(min_views))
        return _segments[surface]


class _Search:
    """One request on one snapshot."""

    def __init__(
        self, snapshot: FieldSnapshot, request: QueryRequest, encoder: ImageTextEncoder, config: Config
    ) -> None:
        self._snapshot, self._request, self._encoder, self._config = snapshot, request, encoder, config
        self._segments = segments_of(snapshot.surface, config.surface.min_views)
        self._negatives = torch.from_numpy(encoder.encode_texts((*CANONICAL, *request.negatives)))
        self._use = snapshot.surface.answerable(config.surface.min_views)
        if request.region is not None:
            low, high = (np.array(corner, np.float32) for corner in request.region)
            self._use &= ((snapshot.surface.points >= low) & (snapshot.surface.points <= high)).all(axis=1)

    def run(self, prompts: Sequence[str]) -> list[PromptAnswer]:
        """Answer prompts, inside the `within` object if one is named."""
        within = self._request.within
        use = self._use
        if within:
            place = self.places((within,), use)[0]
            if place is None or self._probability(place.score) < self._config.query.found_probability:
                score = 0.0 if place is None else place.score
                why = f"there is no {within!r} to look on (relevancy {score:.2f})"
                return [PromptAnswer(p, Status.NOT_FOUND, why) for p in prompts]
            use = use & (self._segments.label == place.segment)
        places = self.places(prompts, use)
        return [self._answer(p, place, use) for p, place in zip(prompts, places, strict=True)]

    def places(
        self, prompts: Sequence[str], use: Bool[np.ndarray, " N"] | None = None
    ) -> list[Place | None]:
        """Return where each prompt is best matched among the points in `use` (None: all that may be asked)."""
        positives = torch.from_numpy(self._encoder.encode_texts(prompts))
        scores = relevancy(self._snapshot.language.embeddings, positives, self._negatives)
        inside = self._use if use is None else use
        return [localise(s, self._segments, inside, self._config.query) for s in scores]

    def _probability(self, score: float) -> float:
        return self._encoder.calibration.probability(score)

    def _answer(self, prompt: str, place: Place | None, use: Bool[np.ndarray, " N"]) -> PromptAnswer:
        if place is None:
            why = "nothing mapped lies in the region: widen it, or look there first"
            return PromptAnswer(prompt, Status.NOT_FOUND, why)
        surface, settings = self._snapshot.surface, self._config.query
        best = surface.points[place.point]
        found = PromptAnswer(
            prompt, Status.FOUND, probability=self._probability(place.score), relevancy=place.score,
            scale_m=float(self._snapshot.language.scales_m[place.scale]), argmax_point=best,
        )  # fmt: skip
        where = _written(best)
        if found.probability < settings.found_probability:
            why = f"the best match has relevancy {place.score:.2f}, probability {found.probability:.2f}, at {where}"
            return replace(found, status=Status.NOT_FOUND, message=why, argmax_point=None)
        score, rival = place.rival
        if rival >= 0 and self._rivals(place.score, score):
            at = _written(surface.points[self._segments.label == rival].mean(axis=0))
            why = f"also the thing at {at} matches (relevancy {score:.2f}; the best, {place.score:.2f}, is at {where})"
            found = replace(found, status=Status.AMBIGUOUS, message=why)
        return self._described(found, place, use)

    def _rivals(self, best: float, second: float) -> bool:
        """Return whether the second best thing is nearly as good, in relevancy above the neutral 0.5."""
        settings = self._config.query
        near = second - 0.5 >= settings.ambiguous_ratio * (best - 0.5)
        return near and self._probability(second) >= settings.found_probability

    def _described(self, found: PromptAnswer, place: Place, use: Bool[np.ndarray, " N"]) -> PromptAnswer:
        """Add the thing's points, its extent and ways to grasp it."""
        surface, request = self._snapshot.surface, self._request
        whole = self._object(place, use)
        rows = whole[use[whole]]
        points = surface.points[whole]
        support = self._segments.support_below(points)
        targets: tuple[GraspCandidate, ...] = ()
        message = found.message
        if request.plan_grasps:
            targets = propose(
                points, surface.normals[whole], surface, support, self._config.grasp, place.relevancy[whole]
            )
            if not targets:
                message = " ".join(filter(None, (message, "no free grasp fits the gripper")))
        limit = request.max_points or self._config.query.max_points
        some = rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).round().astype(int)]
        return replace(
            found, message=message, extent=oriented_extent(points, support), points=surface.points[some],
            colours=surface.colours[some], point_relevancy=place.relevancy[some],
            targets=targets[: request.max_targets or DEFAULT_TARGETS],
        )  # fmt: skip

    def _object(self, place: Place, use: Bool[np.ndarray, " N"]) -> Int64[np.ndarray, " M"]:
        """Return the points of a thing, its seldom seen sides too; of a part those about as relevant as its best."""
        surface, values = self._snapshot.surface, place.relevancy
        if self._request.within:
            rows = np.flatnonzero(use & (self._segments.label == place.segment))
            return np.asarray(rows[values[rows] >= 0.5 * (values[rows].max() + np.median(values[rows]))], np.int64)
        rows = np.flatnonzero(self._segments.body == place.segment)
        if self._segments.is_object(place.segment):
            hot = hot_part(surface.points[rows], surface.colours[rows], values[rows], surface.voxel_m)
            rows = rows[hot]
        return np.asarray(rows, np.int64)


def _written(point: Float32[np.ndarray, " 3"]) -> str:
    return f"({point[0]:.3f}, {point[1]:.3f}, {point[2]:.3f}) m"


def heat_maps(
    snapshot: FieldSnapshot, request: QueryRequest, encoder: ImageTextEncoder, config: Config
) -> dict[str, Float32[np.ndarray, " N"]]:
    """Return the relevancy of every surface point to each askable phrase, at the scale `answer` chooses.

    Raises:
        EncoderError: the snapshot was made with another encoder than the one given.
    """
    _check_encoder(snapshot, encoder)
    good = [p for p in dict.fromkeys(request.prompts) if not phrase_fault(p, config.query)]
    places = _Search(snapshot, replace(request, within=""), encoder, config).places(good)
    return {p: place.relevancy for p, place in zip(good, places, strict=True) if place is not None}
