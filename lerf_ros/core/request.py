# SPDX-License-Identifier: Apache-2.0
"""What is asked of a map, and what it answers."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float32, UInt8

from lerf_ros.core.extent import Extent
from lerf_ros.core.grasp import GraspCandidate
from lerf_ros.core.phrases import Corner


class Status(IntEnum):
    """Kinds of answer; the numbers of lerf_ros/msg/QueryResult."""

    FOUND = 0
    NOT_FOUND = 1
    AMBIGUOUS = 2
    NOT_READY = 3
    STALE = 4
    BAD_REQUEST = 5
    INTERNAL = 6


@dataclass(frozen=True)
class QueryRequest:
    """What is asked.

    Attributes:
        prompts: phrases; "red mug but not blue mug" has a negative of its own.
        negatives: phrases all prompts must beat besides the canonical ones.
        within: an object phrase; the prompts are then parts of that object. "" = anywhere.
        region: lower and upper corner of a box in the map's frame, metres. None = the whole workspace.
        max_points: most cloud points a phrase, 0 = as configured.
        max_targets: most grasp targets a phrase, 0 = 5.
        plan_grasps: fill in `targets`.
    """

    prompts: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    within: str = ""
    region: tuple[Corner, Corner] | None = None
    max_points: int = 0
    max_targets: int = 0
    plan_grasps: bool = False


@dataclass(frozen=True)
class Instance:
    """One thing that matches a phrase, in the map's frame.

    Attributes:
        probability: that it is what the phrase names, in [0, 1].
        relevancy: of the thing as a whole, in [0, 1].
        scale_m: physical size it is matched at, metres.
        point: its best point, metres.
        extent: oriented box around it.
    """

    probability: float
    relevancy: float
    scale_m: float
    point: Float32[np.ndarray, " 3"]
    extent: Extent


@dataclass(frozen=True)
class PromptAnswer:
    """The answer to one phrase, in the map's frame. What does not apply keeps its default.

    Attributes:
        prompt: the phrase, as asked.
        status: kind of answer.
        message: why, for a person.
        probability: calibrated, in [0, 1], that what the phrase names is there.
        relevancy: of the best match, in [0, 1].
        scale_m: physical size it was matched at, metres.
        argmax_point: the best point, metres.
        extent: oriented box around the thing.
        points, colours, point_relevancy: its surface points.
        targets: ways to grasp it, best first.
        instances: all things that match about equally, best first; the first is the one described above.
    """

    prompt: str
    status: Status
    message: str = ""
    probability: float = 0.0
    relevancy: float = 0.0
    scale_m: float = 0.0
    argmax_point: Float32[np.ndarray, " 3"] | None = None
    extent: Extent | None = None
    points: Float32[np.ndarray, "M 3"] | None = None
    colours: UInt8[np.ndarray, "M 3"] | None = None
    point_relevancy: Float32[np.ndarray, " M"] | None = None
    targets: tuple[GraspCandidate, ...] = ()
    instances: tuple[Instance, ...] = ()
