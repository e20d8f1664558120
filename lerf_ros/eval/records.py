# SPDX-License-Identifier: Apache-2.0
"""What is kept of one scene under one configuration: a JSON file, written whole or not at all."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lerf_ros.errors import EvaluationError


@dataclass(frozen=True)
class Outcome:
    """One question answered by one rule. What only a present thing has is None for an absent one.

    Attributes:
        score: tells present from absent.
        probability: of it being there.
        status: of the map's own answer, else "".
        point: the answered point, metres.
        hit: the point is on a right object.
        error_m: distance to the nearest right object.
        centre_error_m: between the centres of the answer's extent and the right object.
        iou_3d: of selected surface points and the right objects'.
        hits_2d: in each novel view that shows a right object, whether the hottest pixel is in its box.
        ious_2d: in each of them, IoU of the masks.
    """

    score: float
    probability: float
    status: str = ""
    point: tuple[float, ...] = ()
    hit: bool | None = None
    error_m: float | None = None
    centre_error_m: float | None = None
    iou_3d: float | None = None
    hits_2d: tuple[bool, ...] = ()
    ious_2d: tuple[float, ...] = ()


@dataclass(frozen=True)
class Answered:
    """A question and its outcome under every rule.

    Attributes:
        chance: share of the answerable surface points that would be a hit.
        oracles: which stages of the pipeline alone would have been right; `coverage` is a share.
    """

    phrase: str
    type: str
    objects: tuple[int, ...]
    distractor: bool
    chance: float
    outcomes: dict[str, Outcome]
    oracles: dict[str, float]


@dataclass(frozen=True)
class SceneRecord:
    """One scene under one configuration.

    Attributes:
        scene: index in the run.
        spec_seed: of the scene's spec.
        points: answerable surface points.
        code: digest of the source it was made by.
    """

    scene: int
    spec_seed: int
    configuration: str
    steps: int
    keyframes: int
    points: int
    code: str
    answered: tuple[Answered, ...]

    def to_json(self) -> str:
        """Return it as text; the same record always gives the same text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n"


def record_path(work: Path, scene: int, configuration: str) -> Path:
    """Return where a record lies in a work folder."""
    return work / f"scene_{scene:03d}" / f"{configuration}.json"


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name and rename it: a run that is cut off leaves no half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def read_record(path: Path) -> SceneRecord:
    """Return a record that was written by `write_whole`.

    Raises:
        EvaluationError: it is none.
    """
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        answered = tuple(_answered(a) for a in tree.pop("answered"))
        return SceneRecord(**tree, answered=answered)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path} is not a result of this version ({error}): delete it, and run again") from error


def _answered(tree: dict[str, Any]) -> Answered:
    outcomes = {rule: Outcome(**{k: _frozen(v) for k, v in o.items()}) for rule, o in tree["outcomes"].items()}
    return Answered(**{**tree, "objects": tuple(tree["objects"]), "outcomes": outcomes})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
