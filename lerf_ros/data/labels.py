# SPDX-License-Identifier: Apache-2.0
"""Scenes with labelled views, whatever dataset they come from; and the checks that all labels go through."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.data.documents import number
from lerf_ros.data.transforms_json import Frame
from lerf_ros.errors import DatasetError

EDGE_PX = 1.0
"""How far a hand-drawn box may overhang the image; it is cut off there."""


@dataclass(frozen=True)
class LabelledView:
    """A camera pose, and what is labelled in its image.

    Attributes:
        name: of the label file, without suffix.
        intrinsics: of the image that was labelled.
        T_world_cam: ROS optical axes, metres, in the frame of the scene's capture.
        boxes: `x1 y1 x2 y2` of every instance of a phrase, pixels.
        masks: all instances of a phrase united; empty where only boxes were drawn.
    """

    name: str
    intrinsics: Intrinsics
    T_world_cam: Float64[np.ndarray, "4 4"]
    boxes: Mapping[str, Float64[np.ndarray, "B 4"]]
    masks: Mapping[str, Bool[np.ndarray, "H W"]]


@dataclass(frozen=True)
class LabelledScene:
    """A capture to train on, and views to be asked about."""

    name: str
    frames: tuple[Frame, ...]
    views: tuple[LabelledView, ...]


def phrase(where: str, value: object, what: str) -> str:
    """Return a label's text, without surrounding space.

    Raises:
        DatasetError: it is no text, or empty.
    """
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(f"{where}: {what} must be a phrase, not {value!r:.80}")
    return value.strip()


def pairs(where: str, value: object, least: int, what: str) -> Float64[np.ndarray, "N 2"]:
    """Return a list of at least `least` points `[x, y]`.

    Raises:
        DatasetError: it is none, or a number is not finite.
    """
    if not isinstance(value, list) or len(value) < least or any(not isinstance(p, list) or len(p) != 2 for p in value):
        raise DatasetError(f"{where}: {what} must be a list of at least {least} points [x, y], not {value!r:.80}")
    return np.array([[number(where, v, what) for v in point] for point in value])


def box(where: str, corners: Float64[np.ndarray, "2 2"], size: tuple[int, int]) -> Float64[np.ndarray, " 4"]:
    """Return `x1 y1 x2 y2` of two opposite corners in any order, which must lie in the image.

    Raises:
        DatasetError: the box has no area, or lies outside the image.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    written = f"box {low[0]:g}, {low[1]:g} to {high[0]:g}, {high[1]:g}"
    if (low >= high).any():
        raise DatasetError(f"{where}: {written} has no area")
    if (low < -EDGE_PX).any() or (high > np.array(size) + EDGE_PX).any():
        raise DatasetError(f"{where}: {written} reaches out of the image of {size[0]} x {size[1]} pixels")
    return np.concatenate([np.maximum(low, 0), np.minimum(high, size)])
