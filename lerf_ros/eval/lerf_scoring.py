# SPDX-License-Identifier: Apache-2.0
"""Every label of a scene asked of a view of its map, and the rates that come of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32, Float64

from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.relevancy import CANONICAL
from lerf_ros.data.labels import LabelledScene, LabelledView
from lerf_ros.eval.intervals import wilson
from lerf_ros.eval.protocols_2d import hottest, lerf_hit, ovs_hit, ovs_iou

RELEVANCY_BYTES = 512 * 2**20
"""Relevancy images held at once: phrases are asked in groups that fit, each of which renders the view anew."""


class RelevancyView(Protocol):
    """What is needed of a map: `core.field_view.FieldView`."""

    def relevancy(
        self,
        intrinsics: Intrinsics,
        T_world_cam: Float64[np.ndarray, "4 4"],
        positives: Float32[np.ndarray, "P D"],
        negatives: Float32[np.ndarray, "C D"],
        scales_m: Float32[np.ndarray, " S"],
    ) -> Float32[np.ndarray, "P S H W"]:
        """Return the relevancy of every pixel to each phrase at each scale."""


Score = Callable[[Float32[np.ndarray, "S H W"], LabelledView, str], dict[str, Any]]


def score_lerf(relevancy: Float32[np.ndarray, "S H W"], view: LabelledView, phrase: str) -> dict[str, Any]:
    """Score one answer as LERF does."""
    return {"hit": lerf_hit(relevancy, view.boxes[phrase])}


def score_ovs(relevancy: Float32[np.ndarray, "S H W"], view: LabelledView, phrase: str) -> dict[str, Any]:
    """Score one answer as LERF-OVS does, by its place and by its mask."""
    return {"hit": ovs_hit(relevancy, view.boxes[phrase]), "iou": round(ovs_iou(relevancy, view.masks[phrase]), 4)}


def ask(
    scene: LabelledScene,
    view: RelevancyView,
    scales_m: Float32[np.ndarray, " S"],
    encoder: ImageTextEncoder,
    score: Score,
) -> dict[str, Any]:
    """Ask every phrase of every labelled view; return the scene's rates, and each answer."""
    negatives = encoder.encode_texts(CANONICAL)
    answers = []
    for labelled in scene.views:
        phrases, k = tuple(labelled.boxes), labelled.intrinsics
        group = max(RELEVANCY_BYTES // (len(scales_m) * k.width * k.height * 4), 1)
        for start in range(0, len(phrases), group):
            part = phrases[start : start + group]
            positives = encoder.encode_texts(part)
            images = view.relevancy(k, labelled.T_world_cam, positives, negatives, scales_m)
            for phrase, relevancy in zip(part, images, strict=True):
                answers.append({
                    "view": labelled.name, "phrase": phrase, **score(relevancy, labelled, phrase),
                    **_where(relevancy, scales_m), "chance": _chance(labelled, phrase),
                })  # fmt: skip
    return {**_rates(answers), "answers": answers}


def _where(relevancy: Float32[np.ndarray, "S H W"], scales_m: Float32[np.ndarray, " S"]) -> dict[str, Any]:
    """Return the most relevant pixel, for whoever wants to know why an answer missed."""
    best = hottest(relevancy)
    x, y = (int(v) for v in best.pixels[0])
    return {"x": x, "y": y, "scale_m": round(float(scales_m[best.level]), 4), "relevancy": round(best.score, 4)}


def _chance(view: LabelledView, phrase: str) -> float:
    """Return the share of the image's pixels that are in a box of the phrase."""
    k = view.intrinsics
    inside = np.zeros((k.height, k.width), bool)
    for x1, y1, x2, y2 in view.boxes[phrase]:
        inside[math.ceil(y1) : math.floor(y2) + 1, math.ceil(x1) : math.floor(x2) + 1] = True
    return round(float(inside.mean()), 4)


def _rates(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the answers of a scene, or of all scenes, come to."""
    hits = sum(bool(a["hit"]) for a in answers)
    rates: dict[str, Any] = {
        "n": len(answers), "accuracy": hits / len(answers), "interval_95": list(wilson(hits, len(answers))),
        "chance": float(np.mean([a["chance"] for a in answers])),
    }  # fmt: skip
    if "iou" in answers[0]:
        rates["miou"] = float(np.mean([a["iou"] for a in answers]))
    return rates


def summary(scenes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a protocol's part of the report: each scene, the mean of the scenes, and all answers pooled."""
    if not scenes:
        return {"scenes": {}}
    each = list(scenes.values())
    keys = [key for key in ("accuracy", "miou") if key in each[0]]
    return {
        "scenes": dict(scenes),
        "mean_of_scenes": {key: float(np.mean([s[key] for s in each])) for key in keys},
        "pooled": _rates([a for s in each for a in s["answers"]]),
    }
