# SPDX-License-Identifier: Apache-2.0
"""How well a map renders views it was not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from lerf_ros.config import Config
from lerf_ros.core.corrections import interpolate_rows
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.losses import psnr_db
from lerf_ros.core.radiance import RadianceTrainer, Rendering
from lerf_ros.errors import MapFileError


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


class RenderableMap:
    """The radiance half of a map, from its frozen weights.

    Args:
        weights: of a snapshot, as `LerfMapper.weights` names them.
        config: the configuration they were trained with.
        threads: CPU threads to render with.

    Raises:
        MapFileError: the weights do not fit the configuration.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], config: Config, threads: int = 1) -> None:
        self._radiance = RadianceTrainer(config, Workers(threads))
        modules = {
            "radiance": self._radiance.field,
            "exposure": self._radiance.exposure,
            "refinement": self._radiance.refinement,
        }
        try:
            for name, module in modules.items():
                if module is not None:
                    state = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
                    module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state.items()})
            self._radiance.density_grid.values[:] = weights["density_grid"]
            self._stamps = weights["keyframes.stamp_ns"].tolist()
            self._slots = weights["keyframes.slot"].tolist()
        except (KeyError, RuntimeError, ValueError) as error:
            raise MapFileError(f"the map's weights do not fit its configuration: {error}") from error

    def render(self, image: PosedImage, corrected: bool) -> Rendering:
        """Render the view of an image, with or without the corrections interpolated to its stamp."""
        exposure = refinement = None
        if corrected and self._radiance.exposure is not None:
            exposure = interpolate_rows(self._stamps, self._radiance.exposure.table[self._slots], image.stamp_ns)
        if corrected and self._radiance.refinement is not None:
            refinement = interpolate_rows(self._stamps, self._radiance.refinement.table[self._slots], image.stamp_ns)
        return self._radiance.render(image.intrinsics, image.T_world_cam, exposure, refinement)


def reconstruction(field: RenderableMap, held_out: Sequence[PosedImage]) -> Reconstruction:
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
