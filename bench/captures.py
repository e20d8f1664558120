# SPDX-License-Identifier: Apache-2.0
"""A capture as the peer reads it: its axes, its pixel corners, its scene cube; and how alike two images are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from lerf_ros.config import WorkspaceConfig
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.losses import psnr_db

OPENGL_FROM_OPTICAL = np.diag([1.0, -1.0, -1.0])


def write_capture(path: Path, images: Sequence[PosedImage], workspace: WorkspaceConfig) -> float:
    """Write images for `bench.peers.nerfacto.load`; return metres a unit of its scene.

    Its world is ours moved and scaled so that our cube becomes [-1, 1]: both then contract space alike. Its camera axes
    are OpenGL's, and its integer pixels are pixel corners where ours are centres: half a pixel is added to cx and cy.
    """
    box = SceneBox.of(workspace)
    scale = float(box.half_m)
    poses = np.stack([image.T_world_cam for image in images])
    c2w = np.empty((len(images), 3, 4), np.float32)
    c2w[:, :, :3] = poses[:, :3, :3] @ OPENGL_FROM_OPTICAL
    c2w[:, :, 3] = (poses[:, :3, 3] - np.asarray(box.centre, np.float64)) / scale
    k = images[0].intrinsics
    np.savez(
        path, rgb=np.stack([image.rgb for image in images]), c2w=c2w,
        camera=np.array([k.fx, k.fy, k.cx + 0.5, k.cy + 0.5]),
        stamp=np.array([image.stamp_ns for image in images]) / 1e9,
    )  # fmt: skip
    return scale


def thinned(image: np.ndarray, stride: int) -> np.ndarray:
    """Return the pixels of rows and columns stride // 2, stride // 2 + stride, ..."""
    return image[stride // 2 :: stride, stride // 2 :: stride]


def mean_psnr_db(
    rendered: Sequence[Float32[np.ndarray, "H W 3"]], truth: Sequence[UInt8[np.ndarray, "H W 3"]]
) -> float:
    """Return the mean over views of each view's PSNR."""
    errors = [np.mean((a - b.astype(np.float32) / 255) ** 2) for a, b in zip(rendered, truth, strict=True)]
    return float(np.mean([psnr_db(float(error)) for error in errors]))
