# SPDX-License-Identifier: Apache-2.0
"""Random pixels of the keyframes, as rays with targets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64

from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.rays import RayBundle, camera_rays, concatenate

FRAMES_A_BATCH = 32
RECENT_FRAMES = 4


@dataclass(frozen=True)
class PixelBatch:
    """Rays through random pixels.

    Attributes:
        colour: in [0, 1].
        depth_m: z-depth, 0 where not measured.
        frame: index of each ray's keyframe in the sequence it was drawn from.
        pixel: (u, v) of each ray.
        focal_px: f_y of each ray's camera.
        trainable: False where the keyframe's mask excludes the pixel.
        local: camera-frame directions with z = 1.
        rotation: camera to world.
    """

    rays: RayBundle
    colour: Float32[np.ndarray, "B 3"]
    depth_m: Float32[np.ndarray, " B"]
    frame: Int64[np.ndarray, " B"]
    pixel: Float32[np.ndarray, "B 2"]
    focal_px: Float32[np.ndarray, " B"]
    trainable: Bool[np.ndarray, " B"]
    local: Float32[np.ndarray, "B 3"]
    rotation: Float32[np.ndarray, "B 3 3"]

    def __len__(self) -> int:
        return len(self.frame)


def draw_frames(count: int, batch: int, recent_share: float, rng: np.random.Generator) -> Int64[np.ndarray, " B"]:
    """Return frame indices: a share among the newest, the rest uniform, so the old is replayed (DISORF section 4)."""
    chosen = rng.integers(0, count, batch)
    recent = rng.random(batch) < recent_share
    chosen[recent] = count - 1 - rng.integers(0, min(RECENT_FRAMES, count), int(recent.sum()))
    return chosen


def draw_pixels(frames: Sequence[Keyframe], count: int, recent_share: float, rng: np.random.Generator) -> PixelBatch:
    """Return about `count` rays: equal numbers from up to `FRAMES_A_BATCH` keyframes (few gathers)."""
    groups = min(FRAMES_A_BATCH, max(len(frames), 8))
    each = max(count // groups, 1)
    parts = [_from_frame(frames[i], int(i), each, rng) for i in draw_frames(len(frames), groups, recent_share, rng)]
    return PixelBatch(
        concatenate([p.rays for p in parts]),
        *(np.concatenate([getattr(p, name) for p in parts])
          for name in ("colour", "depth_m", "frame", "pixel", "focal_px", "trainable", "local", "rotation")),
    )  # fmt: skip


def _from_frame(keyframe: Keyframe, index: int, count: int, rng: np.random.Generator) -> PixelBatch:
    image = keyframe.image
    flat = rng.integers(0, image.intrinsics.width * image.intrinsics.height, count)
    v, u = np.divmod(flat, image.intrinsics.width)
    depth = np.zeros(count, np.float32) if image.depth_m is None else image.depth_m[v, u]
    return PixelBatch(
        rays=camera_rays(image.intrinsics, image.T_world_cam, u.astype(np.float64), v.astype(np.float64)),
        colour=image.rgb[v, u].astype(np.float32) / 255,
        depth_m=depth,
        frame=np.full(count, index, np.int64),
        pixel=np.stack([u, v], axis=-1).astype(np.float32),
        focal_px=np.full(count, image.intrinsics.fy, np.float32),
        trainable=np.ones(count, bool) if image.mask is None else image.mask[v, u],
        local=image.intrinsics.unproject(u.astype(np.float64), v.astype(np.float64)),
        rotation=np.broadcast_to(image.T_world_cam[:3, :3].astype(np.float32), (count, 3, 3)),
    )
