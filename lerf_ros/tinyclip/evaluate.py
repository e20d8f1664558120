# SPDX-License-Identifier: Apache-2.0
"""Scores an encoder by LERF-style localisation and by how well absent things are told apart, on unseen scenes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import open_clip  # noqa: F401  (with osmesa it must be imported before MuJoCo)
import torch
from jaxtyping import Bool

from lerf_ros.config import EncoderConfig, PyramidConfig, QueryConfig
from lerf_ros.core.encoders import ImageTextEncoder, load_encoder
from lerf_ros.core.relevancy import CANONICAL, choose_scale, relevancy
from lerf_ros.eval.existence import auroc
from lerf_ros.eval.questions import ABSENT_KINDS, UNKNOWN_THINGS
from lerf_ros.sim.catalog import CATEGORIES, COLOURS, is_held, with_article
from lerf_ros.sim.scene import Scene, build
from lerf_ros.sim.spec import PairChoice, sample_spec
from lerf_ros.tinyclip.views import SeenPoints, observe

log = logging.getLogger(__name__)

_MIN_POINTS: Final = 40
_NEAR_M: Final = 0.02
_OBJECTS: Final = 7


@dataclass
class Tally:
    """Hits of one kind of query; chance is the mean share of points that would be right."""

    one_view: list[bool] = field(default_factory=list)
    all_views: list[bool] = field(default_factory=list)
    near: list[bool] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float | int]:
        """Rates; `within_2cm` counts four-view answers at most 2 cm from the right surface."""
        return {
            "n": len(self.all_views),
            "one_view": round(float(np.mean(self.one_view)), 3),
            "four_views": round(float(np.mean(self.all_views)), 3),
            "within_2cm": round(float(np.mean(self.near)), 3),
            "chance": round(float(np.mean(self.chance)), 3),
        }


@dataclass
class Scores:
    """All measurements of one set of scenes."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    present: list[float] = field(default_factory=list)
    absent: dict[str, list[float]] = field(default_factory=lambda: {k: [] for k in ABSENT_KINDS})


class SceneExam:
    """Asks the questions of one scene."""

    def __init__(self, scene: Scene, seen: SeenPoints, encoder: ImageTextEncoder, scores: Scores) -> None:
        self._scene, self._seen, self._encoder, self._scores = scene, seen, encoder, scores
        self._negatives = torch.from_numpy(encoder.encode_texts(CANONICAL))
        self._fraction = QueryConfig().top_fraction
        objects = scene.spec.objects
        self.visible = [k for k in range(len(objects)) if int((seen.owner == k).sum()) >= _MIN_POINTS]

    def _best(self, embeddings: torch.Tensor, phrase: str) -> tuple[int, float]:
        text = torch.from_numpy(self._encoder.encode_texts([phrase]))
        found = relevancy(embeddings, text, self._negatives)[0]
        scale, score = choose_scale(found, self._fraction)
        return int(found[scale].argmax()), score

    def ask(self, kind: str, phrase: str, right: Bool[np.ndarray, "N"]) -> float:
        """Localises a phrase; returns its four-view score."""
        tally = self._scores.tallies.setdefault(kind, Tally())
        one, _ = self._best(self._seen.one_view, phrase)
        point, score = self._best(self._seen.all_views, phrase)
        distance = np.linalg.norm(self._seen.points_m[right] - self._seen.points_m[point], axis=1)
        tally.one_view.append(bool(right[one]))
        tally.all_views.append(bool(right[point]))
        tally.near.append(bool(distance.min() < _NEAR_M))
        tally.chance.append(float(right.mean()))
        return score

    def absent(self, kind: str, phrase: str) -> None:
        """Scores a phrase that is true of nothing here."""
        self._scores.absent[kind].append(self._best(self._seen.all_views, phrase)[1])

    def owned(self, wanted: Sequence[int]) -> Bool[np.ndarray, "N"]:
        """Points of these objects."""
        return np.asarray(np.isin(self._seen.owner, wanted))

    def part(self, wanted: Sequence[int], name: str) -> Bool[np.ndarray, "N"]:
        """Points of a part of these objects."""
        return np.asarray(self.owned(wanted) & np.array([p == name for p in self._seen.part]))


def _present_questions(exam: SceneExam, scene: Scene, scores: Scores, choice: PairChoice) -> None:
    objects = scene.spec.objects
    for k in exam.visible:
        item = objects[k]
        if choice == "held" and not is_held(item.category, item.colour):
            continue
        same = [j for j, o in enumerate(objects) if o.category == item.category]
        pair = [j for j in same if objects[j].colour == item.colour]
        right = exam.owned(pair)
        phrase = with_article(f"{item.colour} {item.category}")
        scores.present.append(exam.ask("colour+category", phrase, right))
        if len(same) > len(pair):
            exam.ask("colour+category, same category in another colour there", phrase, right)
        exam.ask("category", with_article(item.category), exam.owned(same))
        if all(o.colour != item.colour for j, o in enumerate(objects) if j not in pair):
            exam.ask("colour", with_article(f"{item.colour} object"), right)
        for name in item.parts:
            spot = exam.part(same, name)
            if int(spot.sum()) >= 6 and item.category != "duck":
                exam.ask("part, on the object", f"the {name} of {with_article(item.category)}", exam.owned(same))
                exam.ask("part, on the part", f"the {name} of {with_article(item.category)}", spot)
        if item.word:
            same_word = [j for j, o in enumerate(objects) if o.word == item.word]
            exam.ask("printed word", f"a box of {item.word.lower()}", exam.owned(same_word))
    if int(exam.owned([Scene.TABLE]).sum()) > 0:
        exam.ask("table", f"a {scene.spec.table} table", exam.owned([Scene.TABLE]))


def _absent_questions(exam: SceneExam, scene: Scene, rng: np.random.Generator) -> None:
    objects = scene.spec.objects
    there = {(o.category, o.colour) for o in objects}
    for k in exam.visible:
        category = objects[k].category
        wrong = [c for c in COLOURS if (category, c) not in there]
        exam.absent("wrong_colour", with_article(f"{rng.choice(wrong)} {category}"))
    missing = [c for c in CATEGORIES if c not in {o.category for o in objects}]
    for category in rng.choice(missing, 5, replace=False):
        exam.absent("absent_category", with_article(f"{rng.choice(list(COLOURS))} {category}"))
    for phrase in rng.choice(UNKNOWN_THINGS, 4, replace=False):
        exam.absent("unknown_word", str(phrase))


def score_scenes(folder: Path, first_seed: int, n_scenes: int, choice: PairChoice) -> Scores:
    """Asks all questions in `n_scenes` scenes of seven objects."""
    encoder = load_encoder(EncoderConfig(model=f"local-dir:{folder}"))
    scores = Scores()
    for seed in range(first_seed, first_seed + n_scenes):
        scene = build(sample_spec(seed, choice=choice, n_objects=_OBJECTS))
        rng = np.random.default_rng((seed, 11))
        exam = SceneExam(scene, observe(scene, rng, encoder, PyramidConfig()), encoder, scores)
        _present_questions(exam, scene, scores, choice)
        _absent_questions(exam, scene, rng)
        log.info("scene %d done", seed)
    return scores


def summary(scores: Scores) -> dict[str, object]:
    """Rates by kind of query, and AUROC of absent against present queries with counts."""
    pooled = [s for kind in ABSENT_KINDS for s in scores.absent[kind]]
    rows: dict[str, object] = {}
    for kind, asked in (*scores.absent.items(), ("pooled", pooled)):
        chance = auroc(scores.present, asked)
        assert chance is not None, "every scene has things, and asks absent phrases of every kind"
        rows[kind] = {"n": len(asked), "auroc": round(chance, 3), "mean": round(float(np.mean(asked)), 3)}
    present = {
        "n": len(scores.present),
        "mean": round(float(np.mean(scores.present)), 3),
        "p10": round(float(np.quantile(scores.present, 0.1)), 3),
    }
    return {"localisation": {k: t.summary() for k, t in scores.tallies.items()}, "present": present, "absent": rows}
