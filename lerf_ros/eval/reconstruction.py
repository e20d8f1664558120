# SPDX-License-Identifier: Apache-2.0
"""How well a map renders views it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from lerf_ros.core.field_view import FieldView
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.losses import psnr_db


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


def reconstruction(field: FieldView, held_out: Sequence[PosedImage]) -> Reconstruction:
    """Render every held-out view and compare."""
    corrected, plain, errors = [], [], [np.zeros(0, np.float32)]
    for image in held_out:
        corrected.append(_psnr(field.render(image, corrected=True).rgb, image))
        # Depth is compared where the camera was said to be: the corrections are for colour.
        seen = field.render(image, corrected=False)
        plain.append(_psnr(seen.rgb, image))
        if image.depth_m is not None:
            errors.append(np.abs(seen.depth_m - image.depth_m)[image.depth_m > 0])
    depth = np.concatenate(errors)
    return Reconstruction(
        float(np.mean(corrected)) if corrected else float("nan"),
        float(np.mean(plain)) if plain else float("nan"),
        float(np.median(depth)) if len(depth) else float("nan"),
        tuple(corrected),
    )


def _psnr(rgb: Float32[np.ndarray, "H W 3"], image: PosedImage) -> float:
    return psnr_db(float(np.mean((rgb - image.rgb.astype(np.float32) / 255) ** 2)))
