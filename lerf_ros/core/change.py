# SPDX-License-Identifier: Apache-2.0
"""Whether a frame agrees with surface points: still there, gone (seen through), hidden, or of another colour.

A point is seen through when all that was measured around it ends farther away than noise explains. "Around" is as wide
as the camera's pose may be off and the margin grows with the square of depth, as a stereo camera's noise does: edges,
flying pixels and small errors of pose always leave something near enough. What was not measured says nothing.
"""

from dataclasses import dataclass
from typing import Final, no_type_check

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int8, Int32
from numba import njit

from lerf_ros.config import ChangeConfig
from lerf_ros.core.glance import Glance

UNKNOWN: Final = 0
CONFIRMED: Final = 1
THROUGH: Final = 2
WEAK: Final = 3
"""Seen through by less than the margin: it may be noise, or the foot of a thing that is gone."""

HIDDEN: Final = 4
RECOLOURED: Final = 5

LATERAL_M, LATERAL_PER_M = 0.004, 0.006
"""How far to the side depth may be off: half a voxel and a small error of the camera's position, and of its angles."""

QUIET = 0.2
"""Three of four points are off by no more than this share of the margin where noise is as configured. A frame where
they are off by more (a bad pose, motion blur, a poor sensor) is given wider margins in proportion ..."""

LOUDEST = 6.0
"""... but no wider than this many times."""

FAR_OFF = 4.0

COARSEST = 4.0
"""Points are not judged where a block covers more than this many voxels."""

LEAST_AROUND = 0.6
"""Share of the blocks around a point that must be measured."""

STEEPEST = 0.5
"""The margin is divided by the cosine to the line of sight, but by no less than this."""

CHROMA = 0.10
"""Colours differ when a channel's share of the brightness does by more than this; light and shadow change none ..."""

DARKEST, BRIGHTEST = 90.0, 250.0
"""... of sums of channels below the first, and no channel above the second, are told apart."""

WIDE = 5
"""Blocks that a patch of another colour is wide at least."""

ENOUGH = 200
"""Confirmed points from which a frame's white balance is known."""


@dataclass(frozen=True)
class Margins:
    """What noise explains: `base_m + per_m2 z^2` along the line of sight."""

    base_m: float
    per_m2: float

    @staticmethod
    def of(config: ChangeConfig) -> "Margins":
        """Return the configured margins."""
        return Margins(config.margin_m, config.margin_per_m2)


@dataclass(frozen=True, eq=False)
class Verdict:
    """Of each point: its state, and the block of the glance it projects to (row x width + column; -1: none)."""

    state: Int8[np.ndarray, " N"]
    block: Int32[np.ndarray, " N"]

    def blocks(self, which: Bool[np.ndarray, " N"], glance: Glance) -> Bool[np.ndarray, "h w"]:
        """Return the blocks that some points project to."""
        out = np.zeros(glance.near_m.size, bool)
        out[self.block[which & (self.block >= 0)]] = True
        return out.reshape(glance.near_m.shape)


def compare(
    points: Float32[np.ndarray, "N 3"], normals: Float32[np.ndarray, "N 3"], glance: Glance, margins: Margins,
    voxel_m: float,
) -> Verdict:  # fmt: skip
    """Return what a frame's depth says of surface points (world, metres; unit normals)."""
    state = np.full(len(points), UNKNOWN, np.int8)
    block = np.full(len(points), -1, np.int32)
    scale = glance.noise
    numbers = np.array([
        margins.base_m * scale, margins.per_m2 * scale, LATERAL_M * scale, LATERAL_PER_M * scale, COARSEST * voxel_m,
    ])  # fmt: skip
    judge(points, normals, glance.near_m, glance.camera, glance.T_cam_world, numbers, state, block)
    return Verdict(state, block)


def noise(
    points: Float32[np.ndarray, "N 3"], normals: Float32[np.ndarray, "N 3"], glance: Glance, margins: Margins,
    voxel_m: float,
) -> float:  # fmt: skip
    """Return how much more than the configured noise a frame shows, from how far its depth is off the points."""
    verdict = compare(points, normals, glance, margins, voxel_m)
    rows = np.flatnonzero(verdict.state != UNKNOWN)
    if len(rows) < ENOUGH:
        return 1.0
    pose = glance.T_cam_world
    z = points[rows] @ pose[2, :3] + pose[2, 3]
    off = np.abs(glance.near_m.ravel()[verdict.block[rows]] - z) / (margins.base_m + margins.per_m2 * z**2)
    off = off[off < FAR_OFF]  # beyond, something is in between, or gone
    return float(np.clip(np.percentile(off, 75) / QUIET, 1.0, LOUDEST)) if len(off) else LOUDEST


def recoloured(
    verdict: Verdict, colours: Float32[np.ndarray, "N 3"], glance: Glance
) -> Bool[np.ndarray, " N"]:
    """Return which confirmed points have a colour that no block around them shows, whatever the light.

    Colours are compared as shares of the brightness, after the frame's white balance (the median of all confirmed
    points) is taken out; a point agrees when its share lies within what its block and those around it show.
    """
    rows = np.flatnonzero(verdict.state == CONFIRMED)
    out = np.zeros(len(colours), bool)
    if len(rows) < ENOUGH:
        return out
    height, width = glance.near_m.shape
    seen = glance.rgb.astype(np.float32)
    v, u = np.divmod(verdict.block[rows], width)
    known = np.maximum(colours[rows], 1.0)
    gain = np.median(np.maximum(seen[v, u], 1.0) / known, axis=0)
    expected = known * gain
    clear = (expected.sum(axis=1) > DARKEST) & (expected.max(axis=1) < BRIGHTEST) & (known.max(axis=1) < BRIGHTEST)
    share = expected / expected.sum(axis=1, keepdims=True)
    low, high = np.full(share.shape, np.inf), np.full(share.shape, -np.inf)
    for dv, du in np.ndindex(3, 3):
        around = seen[np.clip(v + dv - 1, 0, height - 1), np.clip(u + du - 1, 0, width - 1)]
        total = around.sum(axis=1, keepdims=True)
        clear &= (total[:, 0] > DARKEST) & (around.max(axis=1) < BRIGHTEST)
        part = around / np.maximum(total, 1.0)
        low, high = np.minimum(low, part), np.maximum(high, part)
    off = clear & (np.maximum(low - share, share - high).max(axis=1) > CHROMA)
    out[rows[off & _wide(verdict.block[rows], off, (height, width))]] = True
    return out


def _wide(
    block: Int32[np.ndarray, " M"], off: Bool[np.ndarray, " M"], shape: tuple[int, int]
) -> Bool[np.ndarray, " M"]:
    """Return which points lie in patches of blocks at least `WIDE` across where all points are off.

    Points at the edge of a thing have some of the colour of what was behind it, which is another from every side.
    """
    bad = np.zeros(shape[0] * shape[1], np.uint8)
    bad[block[off]] = 1
    closed = np.array(cv2.morphologyEx(bad.reshape(shape), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))
    closed.ravel()[block[~off]] = 0
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((WIDE, WIDE), np.uint8))
    return np.asarray(cv2.dilate(opened, np.ones((3, 3), np.uint8)).ravel()[block] > 0)


@njit(nogil=True, cache=True)
@no_type_check
def judge(
    points: np.ndarray, normals: np.ndarray, near: np.ndarray, camera: np.ndarray, pose: np.ndarray,
    numbers: np.ndarray, state: np.ndarray, block: np.ndarray,
) -> None:  # fmt: skip
    """Write the state and the block of each point."""
    for n in range(points.shape[0]):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        x = pose[0, 0] * px + pose[0, 1] * py + pose[0, 2] * pz + pose[0, 3]
        y = pose[1, 0] * px + pose[1, 1] * py + pose[1, 2] * pz + pose[1, 3]
        z = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
        if z < 0.05 or z / camera[0] > numbers[4]:
            continue
        i, j = int(np.floor(camera[0] * x / z + camera[2])), int(np.floor(camera[1] * y / z + camera[3]))
        reach = int(min(max(np.ceil((numbers[2] + numbers[3] * z) * camera[0] / z), 1), 4))
        if i < reach or j < reach or i >= near.shape[1] - reach or j >= near.shape[0] - reach:
            continue
        block[n] = j * near.shape[1] + i
        if near[j, i] <= 0:
            continue
        nx, ny, nz = normals[n, 0], normals[n, 1], normals[n, 2]
        cosine = -(
            (pose[0, 0] * nx + pose[0, 1] * ny + pose[0, 2] * nz) * x
            + (pose[1, 0] * nx + pose[1, 1] * ny + pose[1, 2] * nz) * y
            + (pose[2, 0] * nx + pose[2, 1] * ny + pose[2, 2] * nz) * z
        ) / np.sqrt(x * x + y * y + z * z)
        margin = (numbers[0] + numbers[1] * z * z) / max(abs(cosine), STEEPEST)
        state[n] = _verdict(near, i, j, reach, z, margin)


@njit(nogil=True, cache=True)
@no_type_check
def _verdict(near: np.ndarray, i: int, j: int, reach: int, z: float, margin: float) -> int:
    """Return what the blocks around one say of a point at z-depth `z`."""
    nearest, known, agrees = np.inf, 0, False
    for v in range(j - reach, j + reach + 1):
        for u in range(i - reach, i + reach + 1):
            depth = near[v, u]
            if depth > 0:
                known += 1
                nearest = min(nearest, depth)
                agrees |= abs(depth - z) <= margin
    if known < LEAST_AROUND * (2 * reach + 1) ** 2:
        return UNKNOWN
    if nearest > z + margin:
        return THROUGH
    if nearest > z + margin / 3:
        return WEAK
    return CONFIRMED if agrees else HIDDEN
