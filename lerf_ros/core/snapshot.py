# SPDX-License-Identifier: Apache-2.0
"""What a query sees: an immutable picture of the map at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor

from lerf_ros.core.surface import SurfaceMap


@dataclass(frozen=True)
class LanguageCache:
    """The language field evaluated at every surface point, at a handful of physical scales.

    Attributes:
        scales_m: physical crop sizes, metres, ascending.
        embeddings: unit vectors (float32, bfloat16 or float16) of exactly the surface's points; zero = not covered.
    """

    scales_m: Float32[np.ndarray, " S"]
    embeddings: Float[Tensor, "S N D"]


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
