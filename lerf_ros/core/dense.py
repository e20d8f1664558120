# SPDX-License-Identifier: Apache-2.0
"""Embeddings of all windows of an image from one pass of the encoder's image tower: how it is resized and cut."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor

from lerf_ros.core.towers import DenseTower

PATCH_IMAGE_PX = 500
"""Shorter side of the image that raw patch features are taken of: as LERF does for DINO."""


@runtime_checkable
class DenseEncoder(Protocol):
    """An encoder whose image tower can be run over a whole image at once."""

    def encode_dense(self, rgb: UInt8[np.ndarray, "H W 3"], tile_px: int) -> "DenseEmbeddings":
        """Return unit embeddings of half-overlapping windows of about `tile_px` pixels, from one pass.

        Raises:
            EncoderError: this encoder's image tower cannot do that.
        """
        ...

    def patch_features(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w P"]:
        """Return raw patch features of the image, whose rows and columns of cells span it from edge to edge.

        They are not normalised; P and their length are the tower's own.

        Raises:
            EncoderError: this encoder's image tower has none.
        """
        ...


@dataclass(frozen=True)
class DensePlan:
    """How an image is resized and cut: `rows` x `columns` cells, windows of `side` cells every `step`.

    The image is stretched by less than a quarter window to a size that windows cover exactly, edge to edge.
    """

    rows: int
    columns: int
    side: int
    step: int

    @property
    def nx(self) -> int:
        """Windows in a row."""
        return (self.columns - self.side) // self.step + 1

    @property
    def ny(self) -> int:
        """Windows in a column."""
        return (self.rows - self.side) // self.step + 1

    def lattice(self, width: int, height: int) -> Float64[np.ndarray, "2 2"]:
        """Return the pixel (x, y) of the first window's centre and the distance between windows (x, y)."""
        cell = np.array([width / self.columns, height / self.rows])
        return np.stack([self.side / 2 * cell - 0.5, self.step * cell])


@dataclass(frozen=True)
class DenseEmbeddings:
    """Unit embeddings of windows on a lattice of the image's pixels (integers are centres).

    Attributes:
        first_px: x, y of the first window's centre.
        stride_px: x, y distance between neighbours.
        features: one a window.
    """

    first_px: Float64[np.ndarray, " 2"]
    stride_px: Float64[np.ndarray, " 2"]
    features: Float32[np.ndarray, "ny nx D"]


def plan(width: int, height: int, tile_px: int, tower: DenseTower) -> DensePlan:
    """Return the windows of about `tile_px`, half overlapping, seen by the tower as large as a crop is.

    Where that would need more than the tower's `max_cells`, windows have fewer cells: the image is seen smaller.
    """
    most = int(tile_px * math.sqrt(tower.max_cells / (width * height)))
    side = max(min(tower.image_size // tower.stride_px, most), 1)
    step = max(side // 2, 1)
    columns, rows = (max(round((length / tile_px * side - side) / step), 0) * step + side for length in (width, height))
    return DensePlan(rows, columns, side, step)


def window_features(
    tower: DenseTower,
    rgb: UInt8[np.ndarray, "H W 3"],
    layout: DensePlan,
    normalised: Callable[[UInt8[Tensor, "1 H W 3"]], Float[Tensor, "1 3 H W"]],
) -> Float[Tensor, "N D"]:
    """Return the embedding of each window of an image, row-major, not of unit length.

    Args:
        tower: run once, over the image resized as `layout` says.
        rgb: the image.
        layout: made for its size and this tower.
        normalised: turns pixels into what the tower takes.
    """
    image = resized(rgb, layout.columns * tower.stride_px, layout.rows * tower.stride_px)
    cells = tower.cells(normalised(torch.from_numpy(image)[None]))
    side, step = layout.side, layout.step
    windows = cells.unfold(1, side, step).unfold(2, side, step).permute(1, 2, 0, 3, 4)  # ny nx P s s
    return torch.cat([tower.pooled(row).float() for row in windows])


def resized(rgb: UInt8[np.ndarray, "H W 3"], width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
    """Resize an image: averaging when it shrinks, bicubic when it grows."""
    how = cv2.INTER_AREA if width * height < rgb.shape[0] * rgb.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=how))


def patch_image(rgb: UInt8[np.ndarray, "H W 3"], stride_px: int) -> UInt8[np.ndarray, "h w 3"]:
    """Resize an image to a shorter side of about `PATCH_IMAGE_PX`, both sides multiples of the tower's stride."""
    short = min(rgb.shape[:2])
    height, width = (max(round(side * PATCH_IMAGE_PX / short / stride_px), 1) * stride_px for side in rgb.shape[:2])
    return resized(rgb, width, height)
