# SPDX-License-Identifier: Apache-2.0
"""From relevancy to probability: a logistic fitted on answers of real maps of validation scenes.

The threshold between present and absent moves with the encoder and with the field, so it is measured on fields trained
as the node trains them, on scenes that neither training nor any reported score has seen.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.query import QueryRequest, answer
from lerf_ros.demo.questions import questions
from lerf_ros.demo.scenes import demo_scene
from lerf_ros.eval.mapping import STEPS, map_scene, node_config
from lerf_ros.sim.scene import build

log = logging.getLogger(__name__)
VALIDATION_SEEDS: Final = tuple(range(80_000, 80_009))
CALIBRATION_FILE: Final = "calibration.json"


@dataclass(frozen=True)
class Scores:
    """Relevancy of phrases, and whether what they name is there."""

    relevancy: Float64[np.ndarray, " P"]
    present: Bool[np.ndarray, " P"]


def scores(encoder: ImageTextEncoder, seeds: tuple[int, ...] = VALIDATION_SEEDS, steps: int = STEPS) -> Scores:
    """Map every scene and ask it what the demonstration asks."""
    config = node_config()
    relevancy: list[float] = []
    present: list[bool] = []
    for seed in seeds:
        scene = build(demo_scene(seed))
        mapper = map_scene(scene, encoder, config, steps)
        asked = questions(scene.spec)
        request = QueryRequest(tuple(q.phrase for q in asked))
        for question, found in zip(asked, answer(mapper.publish(), request, encoder, config, now_ns=0), strict=True):
            relevancy.append(found.relevancy)
            present.append(bool(question.objects))
            log.info("%d %-28s %-16s %.3f %s", seed, question.phrase, question.kind, found.relevancy, found.status.name)
        mapper.close()
    return Scores(np.array(relevancy), np.array(present))


def fit(found: Scores, iterations: int = 50) -> tuple[float, float]:
    """Return midpoint and slope of the logistic of greatest likelihood, both classes weighing the same.

    Newton's method with a weak pull towards a slope of zero, which keeps it finite when the classes are separable.
    """
    x, y = found.relevancy, found.present.astype(np.float64)
    weight = np.where(found.present, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    design = np.stack([x - 0.5, np.ones_like(x)], axis=1)
    beta = np.zeros(2)
    for _ in range(iterations):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (weight * (y - p)) - 1e-5 * beta
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + 1e-5 * np.eye(2)
        beta = beta + np.linalg.solve(hessian, gradient)
    return float(0.5 - beta[1] / beta[0]), float(beta[0])


def write(folder: Path, found: Scores) -> dict[str, float | str]:
    """Fit, and write the calibration beside the weights."""
    midpoint, slope = fit(found)
    there = found.present
    right = (found.relevancy >= midpoint) == there
    seeds = f"{VALIDATION_SEEDS[0]}-{VALIDATION_SEEDS[-1]}"
    measured_on = (
        f"fields of {STEPS} steps of {len(VALIDATION_SEEDS)} validation scenes (demo seeds {seeds}): right side for "
        f"{right[there].mean():.3f} of {there.sum()} present and {right[~there].mean():.3f} of {(~there).sum()} absent"
    )
    document: dict[str, float | str] = {
        "midpoint": round(midpoint, 4),
        "slope": round(slope, 3),
        "measured_on": measured_on,
    }
    (folder / CALIBRATION_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return document
