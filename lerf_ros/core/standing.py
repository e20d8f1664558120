# SPDX-License-Identifier: Apache-2.0
"""What a map says to standing prompts: an answer each, and the relevancy of its whole answerable surface."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.localise import Place
from lerf_ros.core.query import answer, best_places, unready
from lerf_ros.core.request import PromptAnswer, QueryRequest
from lerf_ros.core.snapshot import FieldSnapshot


@dataclass(frozen=True)
class Relevancy:
    """How well a phrase fits the surface, at the scale of its best match.

    Attributes:
        prompt: the phrase.
        probability: that what it names is in the map, in [0, 1].
        scale_m: that scale, metres.
        rows: indices of the surface points.
        values: of these points, in [0, 1].
    """

    prompt: str
    probability: float
    scale_m: float
    rows: Int64[np.ndarray, " M"]
    values: Float32[np.ndarray, " M"]


def answers(
    snapshot: FieldSnapshot | None, prompts: Sequence[str], encoder: ImageTextEncoder, config: Config, now_ns: int,
    plan_grasps: bool = True,
) -> tuple[PromptAnswer, ...]:  # fmt: skip
    """Return what `~/query` would answer to the same phrases, grasps included.

    Raises:
        PromptError: a phrase that cannot be asked, or too many.
        EncoderError: the snapshot was made with another encoder than the one given.
    """
    if not prompts:
        return ()
    return answer(snapshot, QueryRequest(tuple(prompts), plan_grasps=plan_grasps), encoder, config, now_ns)


def relevancies(
    snapshot: FieldSnapshot | None, prompts: Sequence[str], encoder: ImageTextEncoder, config: Config,
    most_points: int | None = None,
) -> dict[str, Relevancy]:  # fmt: skip
    """Return the relevancy of the answerable surface (`most_points` of it, evenly) to each phrase.

    What the map cannot be asked yet, or has no thing for, is left out.

    Raises:
        PromptError: a phrase that cannot be asked, or too many.
        EncoderError: the snapshot was made with another encoder than the one given.
    """
    if not prompts or snapshot is None or unready(snapshot, config):
        return {}
    rows = evenly(np.flatnonzero(snapshot.surface.answerable(config.surface.min_views)), most_points)
    places = best_places(snapshot, QueryRequest(tuple(prompts)), encoder, config)
    return {
        prompt: _relevancy(snapshot, prompt, place, rows)
        for prompt, place in zip(prompts, places, strict=True)
        if place is not None
    }


def evenly(rows: Int64[np.ndarray, " N"], most: int | None) -> Int64[np.ndarray, " M"]:
    """Return `most` of the rows, evenly spread and in order; all of them where there are no more, or `most` is None."""
    if most is None or len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)], np.int64)


def _relevancy(snapshot: FieldSnapshot, prompt: str, place: Place, rows: Int64[np.ndarray, " M"]) -> Relevancy:
    scale_m = float(snapshot.language.scales_m[place.heat.scale])
    return Relevancy(prompt, place.best.probability, scale_m, rows, place.heat.supported(rows))
