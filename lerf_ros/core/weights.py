# SPDX-License-Identifier: Apache-2.0
"""All that a trainer has learned, as host arrays by name, and back into a trainer.

`radiance.*`, `exposure.*`, `refinement.*`, `language.*`, `regulariser.*` are module states (the last one, the head of
the DINO loss, is of use to training alone), `density_grid` the sampler's table; `keyframes.stamp_ns`, `keyframes.slot`
and `keyframes.T_world_cam` tell which row of the corrections is whose; `keyframes.intrinsics` holds fx, fy, cx, cy,
width, height of each, pixels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.trainer import Trainer
from lerf_ros.errors import MapFileError


def weights_of(trainer: Trainer, frames: Sequence[Keyframe]) -> dict[str, np.ndarray]:
    """Return a copy of all that was learned."""
    out = {
        f"{name}.{key}": value.detach().cpu().numpy().copy()
        for name, module in _modules(trainer).items()
        for key, value in module.state_dict().items()
    }
    out["density_grid"] = trainer.radiance.density_grid.values.copy()
    out["keyframes.stamp_ns"] = np.array([frame.image.stamp_ns for frame in frames], np.int64)
    out["keyframes.slot"] = np.array([trainer.slot(frame) for frame in frames], np.int64)
    out["keyframes.T_world_cam"] = np.array([f.image.T_world_cam for f in frames], np.float64).reshape(-1, 4, 4)
    cameras = [f.image.intrinsics for f in frames]
    rows = [(c.fx, c.fy, c.cx, c.cy, c.width, c.height) for c in cameras]
    out["keyframes.intrinsics"] = np.array(rows, np.float64).reshape(-1, 6)
    return out


def load_weights(trainer: Trainer, weights: Mapping[str, np.ndarray]) -> None:
    """Set all that was learned; the head of the regulariser stays as it is where the weights hold none.

    Raises:
        MapFileError: the weights do not fit the trainer's configuration. It is half loaded then: throw it away.
    """
    try:
        for name, module in _modules(trainer).items():
            state = {
                key.removeprefix(f"{name}."): torch.from_numpy(np.array(value))
                for key, value in weights.items() if key.startswith(f"{name}.")
            }  # fmt: skip
            if state or name != "regulariser":
                module.load_state_dict(state)
        trainer.radiance.density_grid.values[:] = weights["density_grid"]
    except (KeyError, RuntimeError, ValueError) as error:
        raise MapFileError(f"the map's weights do not fit this configuration: {error}") from error


def _modules(trainer: Trainer) -> dict[str, nn.Module]:
    radiance, language = trainer.radiance, trainer.language
    modules: dict[str, nn.Module | None] = {
        "radiance": radiance.field,
        "exposure": radiance.exposure,
        "refinement": radiance.refinement,
        "language": None if language is None else language.field,
        "regulariser": None if language is None else language.patch_head,
    }
    return {name: module for name, module in modules.items() if module is not None}
