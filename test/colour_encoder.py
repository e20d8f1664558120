# SPDX-License-Identifier: Apache-2.0
"""An encoder that sees colour only: the embedding of a crop and of a colour word are known exactly."""

from collections.abc import Sequence

import numpy as np

from lerf_ros.core.calibration import Calibration

PALETTE = {"red": (200, 30, 30), "blue": (30, 30, 200), "green": (30, 160, 30), "table": (150, 150, 150)}
NEUTRAL = len(PALETTE)


class ColourEncoder:
    """One axis a palette colour, one for canonical phrases, one for all else; a crop is the colour of its middle."""

    name, sha256, embed_dim, image_size = "colour", "c" * 64, len(PALETTE) + 2, 8

    def __init__(self) -> None:
        self.calibration = Calibration()

    def encode_images(self, crops: np.ndarray) -> np.ndarray:
        middle = crops[:, 3:5, 3:5].astype(np.float32).mean(axis=(1, 2))
        distance = np.linalg.norm(middle[:, None] - np.array(list(PALETTE.values()), np.float32), axis=-1)
        share = np.exp(-distance / 25)
        out = np.zeros((len(crops), self.embed_dim), np.float32)
        out[:, : len(PALETTE)] = share / share.sum(axis=1, keepdims=True)
        return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))

    def encode_texts(self, phrases: Sequence[str]) -> np.ndarray:
        out = np.zeros((len(phrases), self.embed_dim), np.float32)
        for row, phrase in zip(out, phrases, strict=True):
            named = [i for i, colour in enumerate(PALETTE) if colour in phrase.split()]
            generic = phrase in ("object", "things", "stuff", "texture")
            row[named[0] if named else NEUTRAL if generic else NEUTRAL + 1] = 1.0
        return out
