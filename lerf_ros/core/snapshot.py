# SPDX-License-Identifier: Apache-2.0
"""What a query sees: an immutable picture of the map at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float32, Int16, Int64
from torch import Tensor

from lerf_ros.core.basis import STEPS, coordinates
from lerf_ros.core.odds import UNROLLED, Rows, point_odds
from lerf_ros.core.relevancy import FACTOR
from lerf_ros.core.surface import SurfaceMap


@dataclass(frozen=True)
class LanguageCache:
    """The language field evaluated at every surface point, at a handful of physical scales.

    Attributes:
        scales_m: physical crop sizes, metres, ascending.
        rows: of exactly the surface's points; zero = not covered. Without a basis they are unit embeddings (float32,
            bfloat16 or float16; D = R), else coordinates in it: 16-bit integers, 32767 to 1.
        basis: orthonormal directions.
    """

    scales_m: Float32[np.ndarray, " S"]
    rows: Float[Tensor, "S N R"] | Int16[Tensor, "S N R"]
    basis: Float32[Tensor, "R D"] | None = None

    @staticmethod
    def of(scales_m: Float32[np.ndarray, " S"], embeddings: Float[Tensor, "S N D"]) -> "LanguageCache":
        """Return unit (or zero) embeddings as 16-bit integers in full, the basis being CLIP's own."""
        basis = torch.eye(embeddings.shape[-1])
        return LanguageCache(scales_m, torch.stack([coordinates(each, basis) for each in embeddings]), basis)

    @property
    def embeddings(self) -> Float[Tensor, "S N D"]:
        """The embeddings themselves: written out in full where there is a basis (S x N x D x 4 bytes)."""
        return self.rows if self.basis is None else self.rows.float() @ (self.basis / STEPS)

    @property
    def values(self) -> Rows:
        """The rows as the kernels read them."""
        return self.rows.numpy() if self.rows.dtype == torch.int16 else self.rows.float().numpy()

    def texts(self, positives: Float[Tensor, "P D"], negatives: Float[Tensor, "C D"]) -> Float32[np.ndarray, "T R"]:
        """Return phrases and negatives as `values` are multiplied with them, the last one repeated to fill up."""
        every = torch.cat([positives, negatives]).float()
        every = torch.cat([every, every[-1:].expand(-len(every) % UNROLLED, -1)])
        return (FACTOR * every if self.basis is None else FACTOR / STEPS * every @ self.basis.T).contiguous().numpy()

    def log_odds(
        self, positives: Float[Tensor, "P D"], negatives: Float[Tensor, "C D"],
        rows: Int64[np.ndarray, " M"] | None = None,
    ) -> Float32[np.ndarray, "P S M"]:  # fmt: skip
        """Return the log-odds of each phrase at every scale of some points (None: all); see `relevancy.log_odds`."""
        some = np.arange(self.rows.shape[1]) if rows is None else rows
        texts = self.texts(positives, negatives)
        return np.stack([point_odds(values, some, texts, len(positives)) for values in self.values], axis=1)


@dataclass(frozen=True, eq=False)
class FieldSnapshot:
    """The map at one training step. Published by the trainer thread, shared by any number of readers, never changed.

    Attributes:
        step: training steps done.
        stamp_ns: stamp of the newest keyframe in it, nanoseconds.
        frame_id: frame of all coordinates.
        keyframes: number of keyframes it was trained on.
        surface: points, colours and normals in `frame_id`.
        language: embeddings of the surface points.
        encoder_name, encoder_sha256: of the encoder that made the embeddings; phrases need the same one.
        weights: frozen field weights by name, opaque to queries.
    """

    step: int
    stamp_ns: int
    frame_id: str
    keyframes: int
    surface: SurfaceMap
    language: LanguageCache
    encoder_name: str
    encoder_sha256: str
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
