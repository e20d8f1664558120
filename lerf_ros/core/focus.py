# SPDX-License-Identifier: Apache-2.0
"""Which pixels show a part of space: what is to be relearned is drawn more often than the rest."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lerf_ros.core.geometry import invert, transform_points
from lerf_ros.core.keyframes import KeptImage, Keyframe, PosedImage

NEAREST_M = 0.05
MIN_SIDE_PX = 4

Corner = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """A box (world, metres) that keyframes taken after `since_ns` show as it is now."""

    low: Corner
    high: Corner
    since_ns: int


@dataclass(frozen=True)
class Window:
    """The pixels of a keyframe that may show a place: (u, v) from `low_px` to below `high_px`."""

    frame: Keyframe
    place: Place
    low_px: tuple[int, int]
    high_px: tuple[int, int]


def windows(frames: Sequence[Keyframe], places: Iterable[Place]) -> tuple[Window, ...]:
    """Return a window for each place in each keyframe newer than it that has it in view."""
    found = []
    for place, frame in itertools.product(places, frames):
        if frame.image.stamp_ns > place.since_ns:
            bounds = pixel_bounds(frame.image, place.low, place.high)
            if bounds is not None:
                found.append(Window(frame, place, *bounds))
    return tuple(found)


def pixel_bounds(
    image: KeptImage | PosedImage, low: Sequence[float], high: Sequence[float]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the upright rectangle of pixels around a box, None if the camera does not have it in view.

    A box that reaches behind the camera counts as not in view.
    """
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    u, v, z = image.intrinsics.project(transform_points(invert(image.T_world_cam), corners))
    if z.min() < NEAREST_M:
        return None
    k = image.intrinsics
    u0, v0 = max(int(np.floor(u.min())), 0), max(int(np.floor(v.min())), 0)
    u1, v1 = min(int(np.ceil(u.max())) + 1, k.width), min(int(np.ceil(v.max())) + 1, k.height)
    return ((u0, v0), (u1, v1)) if min(u1 - u0, v1 - v0) >= MIN_SIDE_PX else None
