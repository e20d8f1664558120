# SPDX-License-Identifier: Apache-2.0
"""How well a map renders views it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from lerf_ros.core.corrections import interpolate_rows
from lerf_ros.core.keyframes import Keyframe, PosedImage
from lerf_ros.core.losses import psnr_db
from lerf_ros.core.mapper import LerfMapper


@dataclass(frozen=True)
class Reconstruction:
    """Means over held-out views.

    Attributes:
        psnr_db: of colours, with the exposure and camera correction interpolated (in time) from the training views
            around; nothing of the held-out view itself is used.
        psnr_plain_db: the same at the average exposure and with the poses as given.
        depth_abs_median_m: median over all measured pixels of |rendered - measured| z-depth; NaN without measurement.
        each_psnr_db: `psnr_db` of every view.
    """

    psnr_db: float
    psnr_plain_db: float
    depth_abs_median_m: float
    each_psnr_db: tuple[float, ...]


def reconstruction(mapper: LerfMapper, held_out: Sequence[PosedImage]) -> Reconstruction:
    """Render every held-out view and compare."""
    frames = mapper.store.view()
    corrected, plain, errors = [], [], [np.zeros(0, np.float32)]
    for image in held_out:
        exposure, refinement = corrections_at(mapper, frames, image.stamp_ns)
        render = mapper.trainer.radiance.render
        seen = render(image.intrinsics, image.T_world_cam, exposure, refinement)
        corrected.append(_psnr(seen.rgb, image))
        # Depth is compared where the camera was said to be: the corrections are for colour.
        seen = render(image.intrinsics, image.T_world_cam)
        plain.append(_psnr(seen.rgb, image))
        if image.depth_m is not None:
            measured = image.depth_m > 0
            errors.append(np.abs(seen.depth_m - image.depth_m)[measured])
    depth = np.concatenate(errors)
    return Reconstruction(
        float(np.mean(corrected)),
        float(np.mean(plain)),
        float(np.median(depth)) if len(depth) else float("nan"),
        tuple(corrected),
    )


def corrections_at(
    mapper: LerfMapper, frames: Sequence[Keyframe], stamp_ns: int
) -> tuple[Tensor | None, Tensor | None]:
    """Return exposure and refinement rows for a stamp, interpolated from the keyframes around it."""
    radiance = mapper.trainer.radiance
    stamps = [frame.image.stamp_ns for frame in frames]
    slots = [mapper.trainer.slot(frame) for frame in frames]
    exposure, refinement = radiance.exposure, radiance.refinement
    return (
        None if exposure is None else interpolate_rows(stamps, exposure.table[slots], stamp_ns),
        None if refinement is None else interpolate_rows(stamps, refinement.table[slots], stamp_ns),
    )


def _psnr(rgb: Float32[np.ndarray, "H W 3"], image: PosedImage) -> float:
    return psnr_db(float(np.mean((rgb - image.rgb.astype(np.float32) / 255) ** 2)))
