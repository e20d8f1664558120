# SPDX-License-Identifier: Apache-2.0
"""One scene, examined under several configurations; what they have in common is made once."""

import dataclasses
import logging
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.snapshot import FieldSnapshot, LanguageCache
from lerf_ros.errors import EvaluationError
from lerf_ros.eval import mapping
from lerf_ros.eval.configurations import OPEN_SET, Configuration
from lerf_ros.eval.images2d import field_heat, pyramid_heat
from lerf_ros.eval.observations import view_averages
from lerf_ros.eval.open_set import WithoutNullPhrases
from lerf_ros.eval.oracles import Oracles, seen_surfaces
from lerf_ros.eval.painting import ImagePainter, Painter, surface_painter
from lerf_ros.eval.protocols_2d import iou
from lerf_ros.eval.questions import Question, questions
from lerf_ros.eval.records import Answered, Outcome, SceneRecord
from lerf_ros.eval.rules import Found, answers, by_points
from lerf_ros.eval.scenes import novel_poses
from lerf_ros.eval.truth import truth_of
from lerf_ros.eval.views2d import novel_view
from lerf_ros.sim.camera import SceneRenderer
from lerf_ros.sim.scene import build
from lerf_ros.sim.spec import SceneSpec

log = logging.getLogger(__name__)


class SceneExam:
    """A scene, its truth, and the maps made of it so far. One thread uses it."""

    def __init__(self, index: int, spec: SceneSpec, encoder: ImageTextEncoder, code: str) -> None:
        self._index, self._spec, self._encoder, self._code = index, spec, encoder, code
        self.scene = build(spec)
        with SceneRenderer(self.scene) as renderer:
            self.frames = mapping.scan(self.scene, renderer)
            self.views = [
                novel_view(self.scene, renderer.render_from(pose, depth=True, segmentation=True))
                for pose in novel_poses(spec)
            ]
        self.truth = truth_of(self.scene)
        self.asked = questions(spec)
        self._keyframes: dict[str, tuple[Keyframe, ...]] = {}
        self._averages: dict[str, tuple[np.ndarray, LanguageCache, LanguageCache]] = {}

    def run(self, wanted: Configuration) -> tuple[SceneRecord, dict[str, list[Found]], FieldSnapshot]:
        """Map and ask; return the record, what each rule found, and the map.

        Raises:
            EvaluationError: the map has no surface to answer with.
        """
        mapper = self._map(wanted)
        try:
            snapshot = mapper.publish()
            if snapshot is None:
                raise EvaluationError(f"scene {self._index}: no keyframe was made, so there is no map")
            averages = self._averaged(wanted, mapper, snapshot) if not wanted.paper else None
        finally:
            mapper.close()
        asked_of = snapshot
        if averages is not None and wanted.method != "field":
            asked_of = averages[wanted.method == "multi_view"]
        found = self._found(wanted, asked_of)
        told = self._outcomes(wanted, asked_of, found)
        oracles: list[dict[str, float]] = [{} for _ in self.asked]
        if averages is not None and wanted.method == "field":
            judge = Oracles(
                snapshot, averages[1], self.truth, self.truth.distances_m(snapshot.surface.points),
                self._seen_surfaces, self._encoder, wanted.config,
            )  # fmt: skip
            oracles = judge.ask(self.asked, found[wanted.rules[0]])
        record = self._record(wanted, snapshot, told, oracles)
        return record, found, asked_of

    @cached_property
    def _seen_surfaces(self) -> list[np.ndarray]:
        return seen_surfaces(self.scene, self.frames)

    def _map(self, wanted: Configuration) -> LerfMapper:
        """Return a map of the scan; what was embedded for another configuration alike is not embedded again."""
        config, key = wanted.config, _keyframes_key(wanted.config)
        if key not in self._keyframes:
            self._keyframes[key] = mapping.keyframes_of(self.frames, self._encoder, config)
        return mapping.map_keyframes(self._keyframes[key], self._encoder, config, wanted.steps)

    def _averaged(
        self, wanted: Configuration, mapper: LerfMapper, snapshot: FieldSnapshot
    ) -> tuple[FieldSnapshot, FieldSnapshot]:
        """Return `view_averages`, made once for maps of the same keyframes whose surface is the same to the last bit.

        They are of nothing but pyramids and points, so `default` and both baselines have them in common.
        """
        key, points = _keyframes_key(wanted.config), snapshot.surface.points
        known = self._averages.get(key)
        if known is None or not np.array_equal(known[0], points):
            one, every = view_averages(mapper, snapshot)
            known = self._averages[key] = (points, one.language, every.language)
        return dataclasses.replace(snapshot, language=known[1]), dataclasses.replace(snapshot, language=known[2])

    def _found(self, wanted: Configuration, snapshot: FieldSnapshot) -> dict[str, list[Found]]:
        """Return what each rule finds for every phrase."""
        phrases = [q.phrase for q in self.asked]
        found: dict[str, list[Found]] = {rule: [] for rule in wanted.rules}
        views = wanted.config.surface.min_views
        if not snapshot.surface.answerable(views).any():
            raise EvaluationError(f"scene {self._index}: no surface was seen by {views} keyframes")
        for each in by_points(snapshot, phrases, self._encoder, wanted.config):
            for rule in set(wanted.rules) & set(each):
                found[rule].append(each[rule])
        for rule in wanted.rules:
            if not found[rule]:
                asked_by = WithoutNullPhrases(self._encoder) if rule == OPEN_SET else self._encoder
                found[rule] = list(answers(snapshot, phrases, asked_by, wanted.config))
        return found

    def _painter(self, wanted: Configuration, snapshot: FieldSnapshot, rule: str) -> Painter:
        """Return what shows this rule's answers in the novel views."""
        phrases = [q.phrase for q in self.asked if q.objects]
        if wanted.method == "single_view":
            return ImagePainter(
                self.views, [pyramid_heat(v, phrases, self._encoder, wanted.config) for v in self.views]
            )
        if wanted.rules == ("peak",):
            return ImagePainter(
                self.views, [field_heat(snapshot, v, phrases, self._encoder, wanted.config) for v in self.views]
            )
        things = rule in ("answer", "objects", OPEN_SET)
        return surface_painter(snapshot, self.views, wanted.config.surface.min_views, things)

    def _outcomes(
        self, wanted: Configuration, snapshot: FieldSnapshot, found: dict[str, list[Found]]
    ) -> list[dict[str, Outcome]]:
        """Return every question's outcome under every rule."""
        out: list[dict[str, Outcome]] = [{} for _ in self.asked]
        owner = self.truth.owners(self.truth.distances_m(snapshot.surface.points))
        use = snapshot.surface.answerable(wanted.config.surface.min_views)
        painter: Painter | None = None
        for rule, each in found.items():
            if painter is None or not isinstance(painter, ImagePainter):
                painter = self._painter(wanted, snapshot, rule)
            for k, (question, one) in enumerate(zip(self.asked, each, strict=True)):
                out[k][rule] = self._outcome(question, one, snapshot, painter, owner, use)
        return out

    def _outcome(
        self, question: Question, found: Found, snapshot: FieldSnapshot, painter: Painter, owner: np.ndarray,
        use: np.ndarray,
    ) -> Outcome:  # fmt: skip
        point = tuple(float(x) for x in snapshot.surface.points[found.point])
        told = Outcome(found.score, found.probability, found.status, point)
        if not question.objects:
            return told
        hit, error = self.truth.judge(np.array(point), question.objects)
        hits, ious = painter.paint(question, found)
        centre = None if found.centre is None else self.truth.centre_error_m(found.centre, question.objects)
        overlap = iou(found.selected & use, np.isin(owner, question.objects) & use)
        return dataclasses.replace(
            told, hit=hit, error_m=error, centre_error_m=centre, iou_3d=overlap, hits_2d=hits, ious_2d=ious
        )

    def _record(
        self, wanted: Configuration, snapshot: FieldSnapshot, told: Sequence[dict[str, Outcome]],
        oracles: Sequence[dict[str, float]],
    ) -> SceneRecord:  # fmt: skip
        use = snapshot.surface.answerable(wanted.config.surface.min_views)
        distances = self.truth.distances_m(snapshot.surface.points[use])
        answered = tuple(
            Answered(
                q.phrase, q.type, q.objects, q.distractor,
                float(self.truth.hits(distances, q.objects).mean()) if q.objects else 0.0, outcomes, oracle,
            )
            for q, outcomes, oracle in zip(self.asked, told, oracles, strict=True)
        )  # fmt: skip
        return SceneRecord(
            self._index, self._spec.seed, wanted.name, wanted.steps, snapshot.keyframes, int(use.sum()), self._code,
            answered,
        )  # fmt: skip


def _keyframes_key(config: Config) -> str:
    """Return all that keyframes depend on: the last is whether they carry what the regulariser needs."""
    return repr((config.input, config.keyframes, config.encoder, config.pyramid, config.train.dino_weight > 0))
