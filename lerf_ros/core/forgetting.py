# SPDX-License-Identifier: Apache-2.0
"""What a keyframe must no longer teach: pixels that show what is not there any more are masked out of it, for good."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, Float64

from lerf_ros.core.focus import Corner, Place, Window, windows
from lerf_ros.core.keyframes import KeptImage, Keyframe
from lerf_ros.core.packed import BitMask
from lerf_ros.core.rays import RayBundle, image_rays

LATE_NS = 60 * 10**9
"""Images of longer ago than this do not arrive any more."""

RELEARN_STEPS = 500
"""A forgotten place is trained on first for so many steps after it was seen again."""

MOST_DUE = 64
"""Of more forgotten places than this the oldest are no longer waited for: some are never seen again."""

Gone = Callable[[Float32[np.ndarray, "N 3"]], Bool[np.ndarray, " N"]]
"""Tells of world points (metres) which ones are no longer what they were."""


def without(image: KeptImage, gone: Gone) -> KeptImage:
    """Return the image with the pixels masked out whose measured point is gone; itself if there are none.

    Pixels where no depth was measured stay as they are.
    """
    depth_m = image.depth_m
    if depth_m is None:
        return image
    rays = image_rays(image.intrinsics, image.T_world_cam)
    return masked(image, _gone_at(rays, depth_m.ravel(), gone).reshape(depth_m.shape))


def without_box(
    image: KeptImage, low: Float64[np.ndarray, " 3"], high: Float64[np.ndarray, " 3"],
    rendered_m: Float32[np.ndarray, "H W"] | None = None,
) -> KeptImage:  # fmt: skip
    """Return the image with the pixels masked out that show, or may show, what is inside an upright box.

    By measured depth; where there is none by `rendered_m` (z-depth, metres; 0 where unknown, any size); where neither
    knows, every pixel whose ray meets the box: rather one too many.
    """
    shape = (image.intrinsics.height, image.intrinsics.width)
    rays = image_rays(image.intrinsics, image.T_world_cam)
    reaches = meets_box(rays, low, high)
    if not reaches.any():
        return image
    measured_m = image.depth_m
    z = np.zeros(len(rays), np.float32) if measured_m is None else measured_m.ravel()
    if rendered_m is not None:
        z = np.where(z > 0, z, _enlarged(rendered_m, shape).ravel())
    inside = _gone_at(rays, z, lambda points: np.asarray(((points >= low) & (points <= high)).all(axis=1)))
    return masked(image, np.asarray(inside | (reaches & (z <= 0))).reshape(shape))


def masked(image: KeptImage, out: Bool[np.ndarray, "H W"]) -> KeptImage:
    """Return the image with some pixels masked out besides those that are; itself if that changes nothing."""
    mask = image.mask
    if not (out.any() if mask is None else (out & mask).any()):
        return image
    return replace(image, bits=BitMask.of(~out if mask is None else mask & ~out))


class Forgotten:
    """The boxes that were forgotten of late. Owner: the trainer thread."""

    def __init__(self) -> None:
        self._late: list[Place] = []  # images of before may still come
        self._due: dict[Place, int | None] = {}  # step at which each was seen again
        self._frames: Sequence[Keyframe] = ()
        self._windows: tuple[Window, ...] = ()

    def add(self, low: Float64[np.ndarray, " 3"], high: Float64[np.ndarray, " 3"], since_ns: int) -> None:
        """Take note of a box (world, metres) that was forgotten as it looked until a stamp."""
        place = Place(_corner(low), _corner(high), since_ns)
        self._late = [*(old for old in self._late if old.since_ns > since_ns - LATE_NS), place]
        self._due[place] = None
        while len(self._due) > MOST_DUE:
            del self._due[next(iter(self._due))]
        self._frames = ()

    def time_jumped(self) -> None:
        """Forget what only stamps from before time jumped back can tell: what is on its way, and what was seen since.
        """
        self._late, self._due = [], {}
        self._frames, self._windows = (), ()

    def kept_out_of(self, image: KeptImage) -> KeptImage:
        """Return the image without what it shows of boxes that were forgotten while it was on its way."""
        for place in self._late:
            if image.stamp_ns <= place.since_ns:
                image = without_box(image, np.array(place.low), np.array(place.high))
        return image

    def windows(self, frames: Sequence[Keyframe], step: int) -> tuple[Window, ...]:
        """Return what to draw more rays from at a training step: the boxes, in the keyframes that came after."""
        over = [place for place, since in self._due.items() if since is not None and step >= since + RELEARN_STEPS]
        for place in over:
            del self._due[place]
        if frames is not self._frames or over:
            self._frames, self._windows = frames, windows(frames, self._due)
            for place in {window.place for window in self._windows}:
                self._due[place] = step if self._due[place] is None else self._due[place]
        return self._windows


def meets_box(
    rays: RayBundle, low: Float64[np.ndarray, " 3"], high: Float64[np.ndarray, " 3"]
) -> Bool[np.ndarray, " B"]:
    """Return which rays pass through an upright box ahead of their origins (slabs: Kay & Kajiya 1986)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a = (low - rays.origins) / rays.directions
        b = (high - rays.origins) / rays.directions
    enter, leave = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
    return np.asarray(leave >= np.maximum(enter, 0))  # a ray within a face, 0 / 0, does not


def _gone_at(rays: RayBundle, z_m: Float32[np.ndarray, " B"], gone: Gone) -> Bool[np.ndarray, " B"]:
    """Return which rays end, at a known z-depth, at a point that is gone."""
    known = np.flatnonzero(z_m > 0)
    t = z_m[known] / rays.z_per_t[known]
    out = np.zeros(len(rays), bool)
    out[known] = gone(np.asarray(rays.origins[known] + rays.directions[known] * t[:, None], np.float32))
    return out


def _enlarged(depth_m: Float32[np.ndarray, "h w"], shape: tuple[int, int]) -> Float32[np.ndarray, "H W"]:
    """Return the depth at another size, by the nearest pixel: depths across an edge have no mean."""
    rows = ((np.arange(shape[0]) + 0.5) * depth_m.shape[0] / shape[0]).astype(np.int64)
    columns = ((np.arange(shape[1]) + 0.5) * depth_m.shape[1] / shape[1]).astype(np.int64)
    return np.asarray(depth_m[rows[:, None], columns])


def _corner(xyz: Float64[np.ndarray, " 3"]) -> Corner:
    return float(xyz[0]), float(xyz[1]), float(xyz[2])
