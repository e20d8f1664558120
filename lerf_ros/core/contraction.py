# SPDX-License-Identifier: Apache-2.0
"""From metres to the unit cube of the hash grids: the workspace stays metric, all beyond it is contracted."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from lerf_ros.config import WorkspaceConfig


@dataclass(frozen=True)
class SceneBox:
    """A cube around the workspace. Inside it space is scaled, outside contracted (mip-NeRF 360 eq. 10, L-inf norm).

    Attributes:
        centre: world position of the middle, metres.
        half_m: half the longest side, metres. The cube maps to [0.25, 0.75]^3, infinity to the faces of [0, 1]^3.
    """

    centre: Float32[np.ndarray, " 3"]
    half_m: float

    @staticmethod
    def of(config: WorkspaceConfig) -> "SceneBox":
        """Return the smallest cube around the configured workspace."""
        low, high = np.asarray(config.min_m), np.asarray(config.max_m)
        return SceneBox(((low + high) / 2).astype(np.float32), float((high - low).max() / 2))

    def contains(self, points: Float32[np.ndarray, "*B 3"]) -> Bool[np.ndarray, "*B"]:
        """Return which world points lie in the cube; language beyond it is neither learned nor asked for."""
        return np.asarray((np.abs(points - self.centre) <= self.half_m).all(-1))

    def contract(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Return the unit-cube coordinates of world points."""
        x = (points - torch.from_numpy(self.centre).to(points)) / self.half_m
        norm = x.abs().amax(dim=-1, keepdim=True).clamp_min(1.0)
        return (x * ((2 - 1 / norm) / norm)) / 4 + 0.5
