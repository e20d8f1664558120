# SPDX-License-Identifier: Apache-2.0
"""The hash grid of tiny-cuda-nn (Mueller 2021), on CUDA. Its wiring is tested; no GPU has measured it yet."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lerf_ros.core.hashgrid.grids import HashGrid
from lerf_ros.core.hashgrid.layout import GridLayout
from lerf_ros.errors import BackendError


class TcnnHashGrid(HashGrid):
    """A table kept as every other grid keeps it, float32 [rows, F], and looked up by tiny-cuda-nn in half precision.

    Raises:
        BackendError: tinycudann cannot be loaded, or lays its table out differently.
    """

    def __init__(self, layout: GridLayout, seed: int, device: torch.device) -> None:
        super().__init__(layout, seed)
        try:
            import tinycudann
        except (ImportError, OSError) as error:  # OSError: of another CUDA than the machine's
            raise BackendError(f"field.backend = 'tcnn', but tinycudann cannot be loaded: {error}") from error
        native = tinycudann.Encoding(3, {
            "otype": "HashGrid", "n_levels": layout.levels, "n_features_per_level": layout.features,
            "log2_hashmap_size": layout.log2_table, "base_resolution": layout.min_resolution,
            "per_level_scale": layout.growth,
        })  # fmt: skip
        if native.params.numel() != self.table.numel():
            raise BackendError(f"this tinycudann has {native.params.numel()} parameters for a grid of "
                               f"{self.table.numel()}: its table is laid out differently, use another version")
        self._native: tuple[Any] = (native,)  # in a tuple, so that its own parameters are not registered beside ours
        self.to(device)

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N LF"]:
        """Return the features of unit-cube points; points outside are clamped to the cube."""
        table = {"params": self.table.flatten()}
        out: Tensor = torch.func.functional_call(self._native[0], table, (x.clamp(0.0, 1.0),))
        return out.float()
