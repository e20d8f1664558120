# SPDX-License-Identifier: Apache-2.0
"""What is compared: ours, the paper's, and what needs no field; each a configuration tree and a rule."""

import hashlib
import json
from dataclasses import dataclass
from typing import Final, Literal

from lerf_ros.config import Config, from_flat, to_flat
from lerf_ros.errors import EvaluationError
from lerf_ros.eval.mapping import STEPS, node_config

Method = Literal["field", "single_view", "multi_view"]

PAPER_STEPS: Final = 400
PAPER_ON_A_CPU: Final[dict[str, object]] = {
    "train.language_rays": 1024,
    "train.samples": 24,
    "train.language_samples": 12,
    "field.language_log2_table": 17,
    "train.half_life_steps": 120,
}
"""What fits the paper's configuration into a minute or so of one thread a scene. The paper takes 30 000 steps of 4096
rays of 48 samples, 24 of them for language, and 2^21 rows a level; our table needs no more than 2^17. As there, the
rates fall to a tenth; here by the last step."""

CROP: Final = 0.15
"""Of the image height: the paper's ablation of scale."""

CROP_M: Final = 0.073
"""What that crop spans at half a metre with the simulated camera."""


@dataclass(frozen=True)
class Configuration:
    """One of the compared.

    Attributes:
        config: of the map and of its questions.
        method: what the surface points' embeddings come from.
        steps: of training; 0 for methods that need none.
        rules: of which the first, or the best where `own_best`, is the configuration's figure.
        own_best: whether it gets the rule that suits it best, chosen on the very questions it is scored by.
        paper: one of the few-scene group.
    """

    name: str
    config: Config
    method: Method
    steps: int
    rules: tuple[str, ...]
    own_best: bool = False
    paper: bool = False

    @property
    def digest(self) -> str:
        """Return a fingerprint of all that decides its results but the code."""
        told = {"config": to_flat(self.config), "method": self.method, "steps": self.steps, "rules": self.rules}
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


OPEN_SET: Final = "no_null"
"""The rule `answer` by an encoder without null phrases."""

FIELD_RULES: Final = ("answer", OPEN_SET, "peak", "top", "mean")
BASELINE_RULES: Final = ("objects", "peak", "top", "mean")
PAPER_RULES: Final = ("peak",)
ALL_SCENES: Final = ("default", "single_view", "multi_view")
SOME_SCENES: Final = ("paper", "paper_no_dino", "paper_single_scale", "default_dino", "dense")
NAMES: Final = (*ALL_SCENES, *SOME_SCENES)


def configuration(name: str, steps: int = 0) -> Configuration:
    """Return a configuration by name.

    Args:
        steps: training steps instead of its own; 0: its own.

    Raises:
        EvaluationError: there is none of this name.
    """
    ours = node_config()
    if name == "default":
        return Configuration(name, ours, "field", steps or STEPS, FIELD_RULES)
    if name in ("single_view", "multi_view"):
        method: Method = "single_view" if name == "single_view" else "multi_view"
        return Configuration(name, ours, method, 0, BASELINE_RULES, own_best=True)
    if name == "default_dino":
        return Configuration(name, _with_or_without_dino(ours), "field", steps or STEPS, FIELD_RULES, paper=True)
    if name == "dense":
        dense = from_flat({"pyramid.mode": "dense"}, ours)
        return Configuration(name, dense, "field", steps or STEPS, FIELD_RULES, paper=True)
    if name in ("paper", "paper_no_dino", "paper_single_scale"):
        return Configuration(name, _paper(name), "field", steps or PAPER_STEPS, PAPER_RULES, paper=True)
    raise EvaluationError(f"there is no configuration {name!r}: there are {', '.join(NAMES)}")


def _with_or_without_dino(ours: Config) -> Config:
    """Return our configuration with the regulariser where it has none, and without where it has one."""
    paper = to_flat(node_config("paper.yaml"))
    on = float(str(to_flat(ours)["train.dino_weight"])) > 0
    return from_flat({"train.dino_weight": 0.0 if on else paper["train.dino_weight"]}, ours)


def _paper(name: str) -> Config:
    """Return the paper's configuration in our workspace, as many rays as fit the time, geometry from our depth."""
    ours = node_config()
    changes: dict[str, object] = {key: value for key, value in to_flat(ours).items() if _ours_everywhere(key)}
    changes |= PAPER_ON_A_CPU
    if name == "paper_no_dino":
        changes["train.dino_weight"] = 0.0
    if name == "paper_single_scale":
        changes |= {"pyramid.min_tile": CROP - 1e-3, "pyramid.max_tile": CROP + 1e-3, "pyramid.levels": 2,
                    "query.scales": 1, "query.min_scale_m": CROP_M}  # fmt: skip
    return from_flat(changes, node_config("paper.yaml"))


def _ours_everywhere(key: str) -> bool:
    return key.split(".")[0] in ("input", "workspace", "keyframes") or key in ("train.rays", "train.depth_rays")
