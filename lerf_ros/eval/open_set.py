# SPDX-License-Identifier: Apache-2.0
"""The encoder without its list of null phrases: what the map answers when nobody has told it the vocabulary."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, UInt8

from lerf_ros.core.calibration import Calibration
from lerf_ros.core.encoders import ImageTextEncoder


class WithoutNullPhrases:
    """An encoder that is another one in all but its calibration: no null phrases, and no weight for their margin.

    A thing's probability then comes of the relevancy of the phrase alone. The bias was fitted together with the
    margin, so such probabilities rank phrases, but are not calibrated.
    """

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self._calibration = replace(encoder.calibration, null_phrases=(), margin=0.0)

    @property
    def name(self) -> str:
        """Of the encoder itself, as the map's."""
        return self._encoder.name

    @property
    def sha256(self) -> str:
        """Of the encoder itself, as the map's."""
        return self._encoder.sha256

    @property
    def embed_dim(self) -> int:
        """Of the encoder itself."""
        return self._encoder.embed_dim

    @property
    def image_size(self) -> int:
        """Of the encoder itself."""
        return self._encoder.image_size

    @property
    def calibration(self) -> Calibration:
        """The encoder's, less what it knows of other phrases."""
        return self._calibration

    def encode_images(self, crops: UInt8[np.ndarray, "N H W 3"]) -> Float32[np.ndarray, "N D"]:
        """As the encoder itself."""
        return self._encoder.encode_images(crops)

    def encode_texts(self, phrases: Sequence[str]) -> Float32[np.ndarray, "P D"]:
        """As the encoder itself."""
        return self._encoder.encode_texts(phrases)
