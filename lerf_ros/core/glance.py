# SPDX-License-Identifier: Apache-2.0
"""A frame at a glance: nearest depth and mean colour of small blocks of pixels, to compare with a map."""

from dataclasses import dataclass
from typing import no_type_check

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from numba import njit

from lerf_ros.core.geometry import invert
from lerf_ros.core.keyframes import KeptImage, PosedImage

WIDTH = 160
"""Blocks across an image, about."""

LEAST_MEASURED = 0.5
"""Share of a block's pixels that must be measured and not masked; else the block knows nothing."""


@dataclass(frozen=True, eq=False)
class Glance:
    """Blocks of `step` x `step` pixels of a frame.

    Attributes:
        stamp_ns, source: of the frame, and the name of its camera.
        near_m: smallest z-depth in each block, metres; 0 where too little of it was measured.
        rgb: mean colour.
        camera: fx, fy, cx, cy in blocks: block (i, j) is hit by points that project to [i, i + 1) x [j, j + 1).
        T_cam_world: of the frame.
        step: pixels a side of a block.
        noise: how much more than the configured noise the frame shows (`change.noise`), 1 or more.
    """

    stamp_ns: int
    source: str
    near_m: Float32[np.ndarray, "h w"]
    rgb: UInt8[np.ndarray, "h w 3"]
    camera: Float64[np.ndarray, " 4"]
    T_cam_world: Float64[np.ndarray, "4 4"]
    step: int
    noise: float = 1.0

    @staticmethod
    def of(image: PosedImage | KeptImage) -> "Glance | None":
        """Return a frame at a glance; None: it has no depth."""
        depth_m = image.depth_m
        if depth_m is None:
            return None
        k = image.intrinsics
        step = max(1, k.width // WIDTH)
        size = (k.width // step, k.height // step)
        mask = image.mask
        use = np.ones((1, 1), np.bool_) if mask is None else np.ascontiguousarray(mask)
        near = pool(np.ascontiguousarray(depth_m, np.float32), use, step, LEAST_MEASURED)
        part = image.rgb[: size[1] * step, : size[0] * step]
        rgb = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        camera = np.array([k.fx, k.fy, k.cx + 0.5, k.cy + 0.5]) / step
        return Glance(image.stamp_ns, image.camera, near, rgb, camera, invert(image.T_world_cam), step)

    def pixels(
        self, blocks: Bool[np.ndarray, "h w"], shape: tuple[int, int], around: int = 1
    ) -> Bool[np.ndarray, "H W"]:
        """Return the pixels of some blocks and of those `around` them, in an image of so many rows and columns."""
        grown = cv2.dilate(blocks.astype(np.uint8), np.ones((2 * around + 1, 2 * around + 1), np.uint8))
        whole = np.kron(grown, np.ones((self.step, self.step), np.uint8))
        out = np.zeros(shape, bool)
        out[: whole.shape[0], : whole.shape[1]] = whole[: shape[0], : shape[1]] > 0
        return out


@njit(nogil=True, cache=True)
@no_type_check
def pool(depth: np.ndarray, mask: np.ndarray, step: int, least: float) -> np.ndarray:
    """Return the smallest measured depth of every block, 0 where less than a share `least` of it is known.

    A mask of one pixel excludes nothing.
    """
    rows, columns = depth.shape[0] // step, depth.shape[1] // step
    out = np.zeros((rows, columns), np.float32)
    masked = mask.size > 1
    for j in range(rows):
        for i in range(columns):
            nearest, known = np.float32(np.inf), 0
            for v in range(j * step, (j + 1) * step):
                for u in range(i * step, (i + 1) * step):
                    z = depth[v, u]
                    if z > 0 and z < np.inf and not (masked and not mask[v, u]):
                        known += 1
                        nearest = min(nearest, z)
            if known and known >= least * step * step:
                out[j, i] = nearest
    return out
