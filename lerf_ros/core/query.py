# SPDX-License-Identifier: Apache-2.0
"""Phrases in, typed answers out, over one immutable snapshot."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, Int64

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.extent import oriented_extent
from lerf_ros.core.grasp import GraspCandidate, propose
from lerf_ros.core.localise import ANYWHERE, Match, Place, hot_part
from lerf_ros.core.phrases import check_request, phrase_fault
from lerf_ros.core.request import Instance, PromptAnswer, QueryRequest, Status
from lerf_ros.core.search import Search
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.staleness import contradiction, unsettled
from lerf_ros.core.support import PART_SHARE, SHARE
from lerf_ros.errors import EncoderError, PromptError

__all__ = ["Instance", "PromptAnswer", "QueryRequest", "Status", "answer", "best_places", "heat_maps", "unready"]

DEFAULT_TARGETS = 5


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
    blocked = unready(snapshot, config)
    if snapshot is None or blocked:
        answers |= {p: PromptAnswer(p, Status.NOT_READY, blocked) for p in good}
    elif good:
        _check_encoder(snapshot, encoder)
        found = _Answers(snapshot, request, encoder, config).run(good)
        answers |= {a.prompt: _aged(a, snapshot, config, now_ns) for a in found}
    return tuple(answers[p] for p in request.prompts)


def unready(snapshot: FieldSnapshot | None, config: Config) -> str:
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


class _Answers:
    """Makes typed answers of what a search finds."""

    def __init__(
        self, snapshot: FieldSnapshot, request: QueryRequest, encoder: ImageTextEncoder, config: Config
    ) -> None:
        self._snapshot, self._request, self._config = snapshot, request, config
        self._search = Search(snapshot, request, encoder, config)
        self._segments = self._search.segments

    def run(self, prompts: Sequence[str]) -> list[PromptAnswer]:
        """Answer prompts, inside the `within` object if one is named."""
        within = self._request.within
        use, share = self._search.use, SHARE
        if within:
            place = self._search.places((within,))[0]
            thing = ANYWHERE if place is None else int(self._segments.label[place.best.point])
            if place is None or thing < 0 or place.best.probability < self._config.query.found_probability:
                score = 0.0 if place is None else place.best.relevancy
                why = f"there is no {within!r} to look on (relevancy {score:.2f})"
                return [PromptAnswer(p, Status.NOT_FOUND, why) for p in prompts]
            use, share = use & (self._segments.label == thing), PART_SHARE
        places = self._search.places(prompts, use, share)
        return [self._answer(p, place, use) for p, place in zip(prompts, places, strict=True)]

    def _answer(self, prompt: str, place: Place | None, use: Bool[np.ndarray, " N"]) -> PromptAnswer:
        if place is None:
            why = ("nothing mapped lies in the region: widen it, or look there first" if self._request.region else
                   "no thing is mapped yet that could be it: look around more")  # fmt: skip
            return PromptAnswer(prompt, Status.NOT_FOUND, why)
        best = place.best
        point = self._snapshot.surface.points[best.point]
        found = PromptAnswer(
            prompt, Status.FOUND, probability=best.probability, relevancy=best.relevancy,
            scale_m=float(self._snapshot.language.scales_m[best.scale]), argmax_point=point,
        )  # fmt: skip
        if best.probability < self._config.query.found_probability:
            why = (f"the best match has relevancy {best.relevancy:.2f}, probability {best.probability:.2f}, "
                   f"at {_written(point)}")  # fmt: skip
            why = "; ".join(filter(None, (why, unsettled(self._snapshot))))
            return replace(found, status=Status.NOT_FOUND, message=why, argmax_point=None)
        rivals = self._rivals(place)
        if rivals:
            points = [self._snapshot.surface.points[m.point] for m in (best, *rivals)]
            why = f"{len(points)} things match about equally, best first: {', '.join(map(_written, points))}"
            found = replace(found, status=Status.AMBIGUOUS, message=why)
        return self._described(found, place, rivals, use)

    def _rivals(self, place: Place) -> tuple[Match, ...]:
        """Return the other things that are nearly as good, in relevancy above the neutral 0.5."""
        settings, best = self._config.query, place.best
        if not self._segments.is_object(best.segment):
            return ()
        least = 0.5 + settings.ambiguous_ratio * (best.relevancy - 0.5)
        return tuple(
            m for m in place.matches[1:]
            if self._segments.is_object(m.segment) and m.relevancy >= least
            and m.probability >= settings.found_probability
        )  # fmt: skip

    def _described(
        self, found: PromptAnswer, place: Place, rivals: tuple[Match, ...], use: Bool[np.ndarray, " N"]
    ) -> PromptAnswer:
        """Add the thing's points, its extent and ways to grasp it; of its rivals where they are."""
        surface, request = self._snapshot.surface, self._request
        whole = self._object(place, use)
        rows = whole[use[whole]]
        points = surface.points[whole]
        support = self._segments.support_below(points)
        targets: tuple[GraspCandidate, ...] = ()
        message = found.message
        if request.plan_grasps:
            targets = propose(
                points, surface.normals[whole], surface, support, self._config.grasp, place.heat.supported(whole)
            )
            if not targets:
                message = " ".join(filter(None, (message, "no free grasp fits the gripper")))
        limit = request.max_points or self._config.query.max_points
        some = rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).round().astype(int)]
        others = [np.flatnonzero(self._segments.body == m.segment) for m in rivals]
        instances = tuple(self._instance(m, each) for m, each in zip(rivals, others, strict=True))
        status = found.status
        doubts = filter(None, (contradiction(self._snapshot, each) for each in (whole, *others)))
        if doubt := next(doubts, ""):
            status, message = Status.STALE, " ".join(filter(None, (doubt, message)))
        return replace(
            found, status=status, message=message, extent=oriented_extent(points, support), points=surface.points[some],
            colours=surface.colours[some], point_relevancy=place.heat.supported(some),
            targets=targets[: request.max_targets or DEFAULT_TARGETS],
            instances=(self._instance(place.best, whole), *instances),
        )  # fmt: skip

    def _instance(self, match: Match, rows: Int64[np.ndarray, " M"]) -> Instance:
        surface = self._snapshot.surface
        points = surface.points[rows]
        extent = oriented_extent(points, self._segments.support_below(points))
        scale_m = float(self._snapshot.language.scales_m[match.scale])
        return Instance(match.probability, match.relevancy, scale_m, surface.points[match.point], extent)

    def _object(self, place: Place, use: Bool[np.ndarray, " N"]) -> Int64[np.ndarray, " M"]:
        """Return the points of a thing, its seldom seen sides too; of a part those about as relevant as its best."""
        surface, heat, thing = self._snapshot.surface, place.heat, place.best.segment
        if thing == ANYWHERE:
            rows = np.flatnonzero(use)
            least = min(0.5 * (0.5 + place.best.relevancy), place.best.relevancy)
            return np.asarray(rows[heat.own(rows) >= least], np.int64)
        if self._request.within:
            rows = np.flatnonzero(use & (self._segments.label == thing))
            values = heat.own(rows)
            return np.asarray(rows[values >= 0.5 * (values.max() + np.median(values))], np.int64)
        rows = np.flatnonzero(self._segments.body == thing)
        if self._segments.is_object(thing):
            hot = hot_part(surface.points[rows], surface.colours[rows], heat.own(rows), surface.voxel_m)
            rows = rows[hot]
        return np.asarray(rows, np.int64)


def _written(point: Float32[np.ndarray, " 3"]) -> str:
    return f"({point[0]:.3f}, {point[1]:.3f}, {point[2]:.3f}) m"


def best_places(
    snapshot: FieldSnapshot, request: QueryRequest, encoder: ImageTextEncoder, config: Config
) -> list[Place | None]:
    """Return where each prompt is matched best, however badly; None where nothing mapped may be asked.

    Raises:
        PromptError: a request that cannot be answered, or a phrase that cannot be asked.
        EncoderError: the snapshot was made with another encoder than the one given.
    """
    check_request(request.prompts, request.negatives, request.within, request.region, config.query)
    for prompt in request.prompts:
        if fault := phrase_fault(prompt, config.query):
            raise PromptError(fault)
    _check_encoder(snapshot, encoder)
    return Search(snapshot, replace(request, within=""), encoder, config).places(request.prompts)


def heat_maps(
    snapshot: FieldSnapshot, request: QueryRequest, encoder: ImageTextEncoder, config: Config
) -> dict[str, Float32[np.ndarray, " N"]]:
    """Return the relevancy of every surface point to each askable phrase, at its best scale (`within` is not minded).

    Raises:
        EncoderError: the snapshot was made with another encoder than the one given.
    """
    _check_encoder(snapshot, encoder)
    good = [p for p in dict.fromkeys(request.prompts) if not phrase_fault(p, config.query)]
    places = Search(snapshot, replace(request, within=""), encoder, config).places(good)
    return {p: place.heat.supported() for p, place in zip(good, places, strict=True) if place is not None}
