# SPDX-License-Identifier: Apache-2.0
"""Random pixels of the keyframes, as rays with targets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64

from lerf_ros.core.focus import Window
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.rays import RayBundle, rays_along

FRAMES_A_BATCH = 32
RECENT_FRAMES = 4
FOCUS_SHARE = 0.35
"""Of a batch, on what is to be relearned first while there is any."""


@dataclass(frozen=True)
class PixelBatch:
    """Rays through random pixels.

    Attributes:
        colour: in [0, 1].
        depth_m: z-depth, 0 where not measured.
        frames: the keyframes drawn from, few; one may be there more than once.
        frame: index of each ray's keyframe among those.
        pixel: (u, v) of each ray.
        focal_px: f_y of each ray's camera.
        trainable: False where the keyframe's mask excludes the pixel.
        local: camera-frame directions with z = 1.
        rotation: camera to world.
    """

    rays: RayBundle
    colour: Float32[np.ndarray, "B 3"]
    depth_m: Float32[np.ndarray, " B"]
    frames: tuple[Keyframe, ...]
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


def draw_pixels(
    frames: Sequence[Keyframe], count: int, recent_share: float, rng: np.random.Generator,
    windows: Sequence[Window] = (), focus_share: float = FOCUS_SHARE,
) -> PixelBatch:  # fmt: skip
    """Return about `count` rays: equal numbers from up to `FRAMES_A_BATCH` keyframes (few gathers).

    `focus_share` of them lie in `windows`, if there are any.
    """
    groups = min(FRAMES_A_BATCH, max(len(frames), 8))
    each = max(count // groups, 1)
    drawn = tuple(frames[int(i)] for i in draw_frames(len(frames), groups, recent_share, rng))
    focused = [windows[int(i)] for i in rng.integers(0, len(windows), round(focus_share * groups))] if windows else []
    drawn = (*(window.frame for window in focused), *drawn[len(focused) :])
    cameras = [frame.image.intrinsics for frame in drawn]
    width = np.array([[k.width] for k in cameras])
    pixels = width * np.array([[k.height] for k in cameras])
    v, u = np.divmod((rng.random((groups, each)) * pixels).astype(np.int64), width)
    for k, window in enumerate(focused):
        u[k], v[k] = rng.integers(window.low_px, window.high_px, (each, 2)).T
    colour, depth = np.empty((groups, each, 3), np.uint8), np.zeros((groups, each), np.float32)
    trainable = np.ones((groups, each), bool)
    for k, image in enumerate(f.image for f in drawn):
        colour[k] = image.rgb[v[k], u[k]]
        if image.depth is not None:
            depth[k] = image.depth.at(v[k], u[k])
        if image.bits is not None:
            trainable[k] = image.bits.at(v[k], u[k])
    pixel = np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32)
    frame = np.repeat(np.arange(groups), each)
    fx, fy, cx, cy = np.array([(k.fx, k.fy, k.cx, k.cy) for k in cameras]).T[:, frame]
    local = np.stack([(pixel[:, 0] - cx) / fx, (pixel[:, 1] - cy) / fy, np.ones(len(pixel))], axis=-1)
    poses = np.stack([f.image.T_world_cam for f in drawn])[frame]
    return PixelBatch(
        rays=rays_along(local, poses), colour=colour.reshape(-1, 3).astype(np.float32) / 255, depth_m=depth.ravel(),
        frames=drawn, frame=frame, pixel=pixel, focal_px=fy.astype(np.float32), trainable=trainable.ravel(),
        local=local.astype(np.float32), rotation=poses[:, :3, :3].astype(np.float32),
    )  # fmt: skip
