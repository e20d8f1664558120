# SPDX-License-Identifier: Apache-2.0
"""From evidence to probability: a logistic fitted on answers of real maps of scenes that nothing else uses.

What tells present from absent moves with the encoder and with the field, so it is measured on fields trained as the
node trains them, on scenes that neither training nor any reported score has seen.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from lerf_ros.config import EncoderConfig
from lerf_ros.core.calibration import CALIBRATION_FILE, LARGEST, Calibration
from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.query import QueryRequest, best_places
from lerf_ros.errors import EvaluationError
from lerf_ros.eval.mapping import STEPS, map_scene, node_config
from lerf_ros.eval.questions import questions
from lerf_ros.eval.scenes import CALIBRATION_RUN, calibration_spec
from lerf_ros.eval.workers import Pool
from lerf_ros.sim.catalog import CATEGORIES, possible_colours, with_article
from lerf_ros.sim.scene import build

log = logging.getLogger(__name__)
SCENES: Final = 18
SAME_MEANING: Final = 0.7
"""Of 0.6 to 0.9, with which the AUROC of wrong colours was best (1.000; 0.996 to 0.998) on eleven other scenes."""

NULL_PHRASES: Final = (
    *(with_article(f"{colour} {category}") for category in CATEGORIES for colour in possible_colours(category)),
    *(with_article(category) for category in CATEGORIES),
)
"""All that the bundled encoder has words for; a scene holds some of it."""

_RIDGE: Final = 1e-3


@dataclass(frozen=True)
class Evidence:
    """What speaks for phrases (columns: fit, margin), and whether what they name is there."""

    evidence: Float64[np.ndarray, "P 2"]
    present: Bool[np.ndarray, " P"]


@dataclass(frozen=True)
class _Job:
    scene: int
    steps: int


class _Worker:
    """Maps a scene and asks it everything."""

    def __init__(self, folder: Path) -> None:
        self._encoder = load_encoder(EncoderConfig(model=f"local-dir:{folder}"))
        # The numbers are what is being looked for; until then fit and margin weigh the same in what is called the best.
        self._encoder.calibration = Calibration(0.0, 1.0, 1.0, NULL_PHRASES, SAME_MEANING)
        self._config = node_config()

    def __call__(self, job: _Job) -> Iterator[tuple[int, str]]:
        spec = calibration_spec(job.scene)
        mapper = map_scene(build(spec), self._encoder, self._config, job.steps)
        snapshot = mapper.publish()
        mapper.close()
        if snapshot is None:
            raise EvaluationError(f"calibration scene {job.scene}: no keyframe was made")
        asked = questions(spec)
        places = []
        for question in asked:
            places += best_places(snapshot, QueryRequest((question.phrase,)), self._encoder, self._config)
        rows = [(p.best.fit, p.best.margin, bool(q.objects)) for p, q in zip(places, asked, strict=True) if p]
        yield job.scene, json.dumps(rows)


def collect(folder: Path, scenes: int = SCENES, steps: int = STEPS, processes: int = 2) -> Evidence:
    """Map every calibration scene and ask it what the evaluation asks.

    Raises:
        EvaluationError: a scene could not be mapped.
    """
    rows: dict[int, list[tuple[float, float, bool]]] = {}
    for scene, told, fault in Pool(_Worker, folder, processes).run([_Job(k, steps) for k in range(scenes)]):
        if fault:
            raise EvaluationError(f"calibration scene {scene}: {fault}")
        rows[scene] = json.loads(told)
        log.info("scene %d: %d phrases (%d of %d scenes)", scene, len(rows[scene]), len(rows), scenes)
    table = np.array([row for scene in sorted(rows) for row in rows[scene]], np.float64)
    return Evidence(table[:, :2], table[:, 2] > 0.5)


def fit(found: Evidence, iterations: int = 60) -> tuple[float, float, float]:
    """Return bias and the weights of fit and margin of the logistic of greatest likelihood.

    Newton's method with a weak pull of the weights towards zero, which keeps them finite when classes are separable.
    """
    y = found.present.astype(np.float64)
    design = np.column_stack([np.ones(len(y)), np.clip(found.evidence, -LARGEST, LARGEST)])
    ridge = np.diag([0.0, _RIDGE, _RIDGE])
    beta = np.zeros(3)
    for _ in range(iterations):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -60, 60)))
        gradient = design.T @ (y - p) - ridge @ beta
        hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge + 1e-9 * np.eye(3)
        beta = beta + np.linalg.solve(hessian, gradient)
    return float(beta[0]), float(beta[1]), float(beta[2])


def write(folder: Path, found: Evidence, null_phrases: Sequence[str] = NULL_PHRASES, scenes: int = SCENES) -> str:
    """Fit, write the calibration beside the weights, and return what it was measured on."""
    bias, of_fit, of_margin = fit(found)
    calibration = Calibration(bias, of_fit, of_margin)
    right = (calibration.probability(*found.evidence.T) >= 0.5) == found.present
    there = found.present
    measured_on = (
        f"fields of {STEPS} steps of {scenes} validation scenes (run {CALIBRATION_RUN}): right side for "
        f"{right[there].mean():.3f} of {there.sum()} present and {right[~there].mean():.3f} of {(~there).sum()} absent"
    )
    document = {
        "bias": round(bias, 3), "fit": round(of_fit, 3), "margin": round(of_margin, 3), "same_meaning": SAME_MEANING,
        "measured_on": measured_on, "null_phrases": list(null_phrases),
    }  # fmt: skip
    (folder / CALIBRATION_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return measured_on
