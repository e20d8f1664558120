# SPDX-License-Identifier: Apache-2.0
"""The scenes of the evaluation: drawn by a seed, before anything is known of the answers.

Their seeds start at five million: training has one million, validation two, the encoder's test three.
"""

import itertools
import math
from typing import Final

import numpy as np
from jaxtyping import Float64

from lerf_ros.core.geometry import look_at
from lerf_ros.errors import EvaluationError
from lerf_ros.sim.scan import VIEWPOINTS
from lerf_ros.sim.spec import PairChoice, SceneSpec, sample_spec

FIRST_SEED: Final = 5_000_000
SEEDS_A_RUN: Final = 100_000
CALIBRATION_RUN: Final = 10_000
"""The seed whose scenes the encoder's calibration is fitted on; only smaller ones are evaluated."""

TRIES: Final = 200
MAX_SCENES: Final = SEEDS_A_RUN // TRIES
OBJECTS: Final = 8
MIN_OBJECTS: Final = 6
NOVEL_VIEWS: Final = 2
NOVEL_M: Final = 0.06
"""A novel view's camera is at least this far from every camera of the scan."""


def scene_spec(seed: int, index: int) -> SceneSpec:
    """Return scene `index` of a run: every third is made of withheld colour-category pairs, the others of seen ones.

    It is the first drawn with at least 6 objects and, for two of three scenes, a category in two colours.

    Raises:
        EvaluationError: the seed or the index is out of range.
    """
    check_seed(seed)
    return _drawn(seed, index)


def calibration_spec(index: int) -> SceneSpec:
    """Return a scene to fit the encoder's calibration on: drawn as `scene_spec` draws, and never evaluated.

    Raises:
        EvaluationError: the index is out of range.
    """
    return _drawn(CALIBRATION_RUN, index)


def check_seed(seed: int) -> None:
    """Refuse a seed whose scenes may not be evaluated.

    Raises:
        EvaluationError: it is negative, or the scenes are those that the calibration was fitted on, or later ones.
    """
    if not 0 <= seed < CALIBRATION_RUN:
        raise EvaluationError(f"seed {seed}: seeds are 0 to {CALIBRATION_RUN - 1}; the encoder's calibration was "
                              f"fitted on the scenes of {CALIBRATION_RUN}")


def _drawn(seed: int, index: int) -> SceneSpec:
    if not 0 <= index < MAX_SCENES:
        raise EvaluationError(f"seed {seed}, scene {index}: each seed has {MAX_SCENES} scenes")
    first = FIRST_SEED + SEEDS_A_RUN * seed + TRIES * index
    choice: PairChoice = "held" if index % 3 == 2 else "seen"
    for k in range(TRIES):
        spec = sample_spec(first + k, choice=choice, n_objects=OBJECTS)
        if len(spec.objects) >= MIN_OBJECTS and (index % 3 == 1 or _has_distractor(spec)):
            return spec
    raise EvaluationError(f"none of {TRIES} tables drawn for seed {seed}, scene {index} has enough objects")


def _has_distractor(spec: SceneSpec) -> bool:
    return any(a.category == b.category and a.colour != b.colour for a, b in itertools.combinations(spec.objects, 2))


def novel_poses(spec: SceneSpec) -> list[Float64[np.ndarray, "4 4"]]:
    """Return camera poses (optical, in base_link) that the scan has not been at, above the side it was taken from."""
    rng = np.random.default_rng((spec.seed, 13))
    taken = np.array([view.pose()[:3, 3] for view in VIEWPOINTS])
    poses: list[Float64[np.ndarray, "4 4"]] = []
    while len(poses) < NOVEL_VIEWS:
        azimuth, elevation = math.radians(rng.uniform(100, 260)), math.radians(rng.uniform(48, 68))
        target = np.array([0.43 + rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04), 0.03])
        flat = math.cos(elevation)
        away = np.array([math.cos(azimuth) * flat, math.sin(azimuth) * flat, math.sin(elevation)])
        eye = target + rng.uniform(0.50, 0.65) * away
        if np.linalg.norm(taken - eye, axis=1).min() >= NOVEL_M:
            poses.append(look_at(eye, target))
    return poses
