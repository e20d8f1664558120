# SPDX-License-Identifier: Apache-2.0
"""Looks at frames of a camera that stands still, and says when one must become a keyframe: something has changed.

An arm that waits sees a hand move things, and a camera on the wall never moves at all. Frames are looked at now and
then, two in a row must show the same change, and one change is worth as many keyframes as an answer takes.
"""

from collections import deque
from dataclasses import replace
from typing import Final, no_type_check

import cv2
import numpy as np
from jaxtyping import Bool, Float32
from numba import njit

from lerf_ros.config import ChangeConfig
from lerf_ros.core import change
from lerf_ros.core.change import THROUGH, Margins
from lerf_ros.core.glance import Glance
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.regions import groups
from lerf_ros.core.surface import SurfaceMap

BLOCKS: Final = 16
"""Connected blocks nearer than the map that count as something new."""

APART_NS: Final = 1_000_000_000
"""Between two keyframes of a camera that does not move."""

KEPT: Final = 4
"""Frames that wait to be looked at by who owns the map; they are evidence, too."""


class Sentry:
    """Looks at frames that have not moved. Owner: the encoder thread; `evidence` is taken by the trainer thread."""

    def __init__(self, config: ChangeConfig, min_views: int) -> None:
        self._config, self._min_views = config, min_views
        self._last: dict[str, Glance] = {}
        self._suspects: dict[str, Bool[np.ndarray, "h w"]] = {}
        self._known: dict[str, Bool[np.ndarray, "h w"]] = {}
        self._due: dict[str, int] = {}
        self._kept_ns: dict[str, int] = {}
        self.evidence: deque[Glance] = deque(maxlen=KEPT)

    def wants(self, image: PosedImage, surface: SurfaceMap | None) -> bool:
        """Return whether a frame whose camera stands still must become a keyframe; `surface` is the last snapshot's.
        """
        period_ns = int(self._config.check_period_s * 1e9)
        last = self._last.get(image.camera)
        if last is not None and last.stamp_ns > image.stamp_ns:
            last = None  # time jumped back: a later frame is no evidence of what was before
        if surface is None or not len(surface) or (last is not None and image.stamp_ns < last.stamp_ns + period_ns):
            return False
        glance = Glance.of(image)
        if glance is None:
            return False
        margins = Margins.of(self._config)
        glance = replace(glance, noise=change.noise(surface.points, surface.normals, glance, margins, surface.voxel_m))
        if self._suspicious(glance, last, surface):
            self._due[image.camera] = self._min_views
        self._last[image.camera] = glance
        kept_ns = self._kept_ns.get(image.camera)
        apart = kept_ns is None or not 0 <= image.stamp_ns - kept_ns < APART_NS
        return apart and self._due.get(image.camera, 0) > 0

    def kept(self, image: PosedImage) -> None:
        """Take note that a frame became a keyframe; one that could not be embedded does not count."""
        if self._due.get(image.camera, 0) > 0:
            self._kept_ns[image.camera] = image.stamp_ns
            self._due[image.camera] -= 1

    def moved(self, camera: str) -> None:
        """Forget what a camera saw from where it was."""
        for each in (self._last, self._suspects, self._known, self._due):
            each.pop(camera, None)

    def _suspicious(self, glance: Glance, last: Glance | None, surface: SurfaceMap) -> bool:
        """Return whether a frame and the one before show the same change, and it has not been told yet."""
        now = self._changed(glance, surface)
        before = self._suspects.get(glance.source)
        self._suspects[glance.source] = now
        if last is None or before is None or before.shape != now.shape:
            return False
        margin = (self._config.margin_m + self._config.margin_per_m2 * glance.near_m**2) * glance.noise
        both = now & before & (np.abs(glance.near_m - last.near_m) < margin)
        known = self._known.get(glance.source)
        if known is None or known.shape != both.shape:
            known = np.zeros(both.shape, bool)
        # What agrees in two frames in a row is forgotten: it may change in the same way once more.
        known = self._known[glance.source] = known & _grown(now | before)
        both &= ~known
        if _largest(both) < BLOCKS:
            return False
        self._known[glance.source] = known | _grown(now)
        self.evidence.extend((last, glance))
        return True

    def _changed(self, glance: Glance, surface: SurfaceMap) -> Bool[np.ndarray, "h w"]:
        """Return the blocks that see through known surface, or something in front of all of it."""
        margins = Margins.of(self._config)
        verdict = change.compare(surface.points, surface.normals, glance, margins, surface.voxel_m)
        rows = np.flatnonzero((verdict.state == THROUGH) & ~surface.stale & (surface.views >= self._min_views))
        least = max(10, round(self._config.min_area_m2 / surface.voxel_m**2))
        which = np.zeros(len(surface), bool)
        for group in groups(surface.points[rows], surface.voxel_m, least):
            which[rows[group]] = True
        blocks = verdict.blocks(which, glance)
        blocks |= np.asarray(cv2.dilate(blocks.astype(np.uint8), np.ones((3, 3), np.uint8)), bool)
        expected = nearest(surface.points, glance.near_m, glance.camera, glance.T_cam_world)
        margin = (self._config.margin_m + self._config.margin_per_m2 * expected**2) * glance.noise
        return np.asarray(blocks | ((expected > 0) & (glance.near_m > 0) & (glance.near_m < expected - 2 * margin)))


def _grown(blocks: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the blocks and those within two of them."""
    return np.asarray(cv2.dilate(blocks.astype(np.uint8), np.ones((5, 5), np.uint8)), bool)


def _largest(blocks: Bool[np.ndarray, "h w"]) -> int:
    """Return the size of the largest connected patch."""
    sizes = cv2.connectedComponentsWithStats(blocks.astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
    return int(sizes.max(initial=0))


@njit(nogil=True, cache=True)
@no_type_check
def nearest(points: np.ndarray, like: np.ndarray, camera: np.ndarray, pose: np.ndarray) -> Float32[np.ndarray, "h w"]:
    """Return the z-depth of the nearest point in or beside each block, metres; 0 where there is none."""
    out = np.zeros(like.shape, np.float32)
    for n in range(points.shape[0]):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        z = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
        if z < 0.05:
            continue
        x = pose[0, 0] * px + pose[0, 1] * py + pose[0, 2] * pz + pose[0, 3]
        y = pose[1, 0] * px + pose[1, 1] * py + pose[1, 2] * pz + pose[1, 3]
        i, j = int(np.floor(camera[0] * x / z + camera[2])), int(np.floor(camera[1] * y / z + camera[3]))
        for v in range(max(j - 2, 0), min(j + 3, like.shape[0])):
            for u in range(max(i - 2, 0), min(i + 3, like.shape[1])):
                if out[v, u] == 0 or z < out[v, u]:
                    out[v, u] = z
    return out
