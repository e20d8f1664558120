# SPDX-License-Identifier: Apache-2.0
"""Patch features that regularise the language field (LERF section 3.3, "DINO regularization").

Neighbouring pixels of one thing have similar patch features, so a field that must also predict those learns where
things end. DINO ViT-S/8 where its weights are on disk; else the image-text encoder's own patch features.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float16, Float32, Int64, UInt8
from torch import Tensor

from lerf_ros.config import Config, EncoderConfig
from lerf_ros.core.device import torch_device
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.errors import EncoderError

log = logging.getLogger(__name__)

DINO = "vit_small_patch8_224.dino"
SHORTER_SIDE_PX = 500
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGEST = 6e4
"""float16 ends at 65504: features beyond this are no features of an image."""


@runtime_checkable
class PatchFeatures(Protocol):
    """Features of the patches of an image.

    Attributes:
        name: for logs.
        dim: P.
    """

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...

    def features(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float16[np.ndarray, "h w P"]:
        """Return the feature of each cell of an even grid over the image."""
        ...


class EncoderPatches:
    """The image-text encoder's own patch features as unit vectors: one loss weight then suits every encoder.

    Args:
        encoder: an encoder that has `patch_features`.

    Raises:
        EncoderError: it has none.
    """

    def __init__(self, encoder: Any) -> None:
        if not callable(getattr(encoder, "patch_features", None)):
            raise EncoderError(f"{encoder.name} has no patch features to regularise with: give encoder.regulariser_"
                               "weights (DINO), or set train.dino_weight: 0.0")
        self._encoder = encoder
        self.name = f"patches of {encoder.name}"
        side = encoder.image_size
        self.dim = self.features(np.full((side, side, 3), 127, np.uint8)).shape[-1]

    def features(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float16[np.ndarray, "h w P"]:
        """Return unit feature vectors.

        Raises:
            EncoderError: they are not finite.
        """
        raw = np.asarray(self._encoder.patch_features(rgb), np.float32)
        return _half(raw / np.maximum(np.linalg.norm(raw, axis=-1, keepdims=True), 1e-6), self.name)


def dino_cells(height: int, width: int, patch: int) -> tuple[int, int]:
    """Return rows and columns of patches of an image whose shorter side is resized to 500 pixels (62 of 8 x 8)."""
    scale = SHORTER_SIDE_PX / min(height, width)
    return round(height * scale) // patch, round(width * scale) // patch


class DinoPatches:
    """DINO ViT-S/8: the keys of its last layer, of the image with its shorter side resized to 500 pixels.

    Args:
        weights: .safetensors, or .pth / .pt / .bin of plain tensors, with the keys of timm's model (which are DINO's).
        device: torch device; None: the CPU.

    Raises:
        EncoderError: no such file, not readable, or not the weights of this model.
    """

    def __init__(self, weights: str, device: torch.device | None = None) -> None:
        import timm  # slow

        self.name, self._device = f"{DINO} ({Path(weights).name})", device or torch.device("cpu")
        state = _read(weights)
        model: Any = timm.create_model(DINO, pretrained=False, num_classes=0, dynamic_img_size=True)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise EncoderError(f"encoder.regulariser_weights {weights} are not those of {DINO}: "
                               f"{' '.join(str(error).split())[:300]}") from error
        self._model = model.eval().requires_grad_(False).to(self._device)
        self.dim, self._patch = int(model.embed_dim), int(model.patch_embed.patch_size[0])
        self._qkv: Tensor | None = None
        model.blocks[-1].attn.qkv.register_forward_hook(self._keep)
        mean, std = (np.array(v, np.float32) * 255 for v in (IMAGENET_MEAN, IMAGENET_STD))
        self._mean, self._std = mean, std

    def features(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float16[np.ndarray, "h w 384"]:
        """Return the keys, without the class token.

        Raises:
            EncoderError: they are not finite.
        """
        cells = dino_cells(rgb.shape[0], rgb.shape[1], self._patch)
        height, width = (n * self._patch for n in cells)
        how = cv2.INTER_AREA if height < rgb.shape[0] else cv2.INTER_CUBIC
        image = cv2.resize(rgb, (width, height), interpolation=how)
        x = torch.from_numpy((image.astype(np.float32) - self._mean) / self._std).permute(2, 0, 1)[None]
        with torch.inference_mode():
            self._model.forward_features(x.to(self._device))
        qkv, self._qkv = self._qkv, None
        if qkv is None:
            raise EncoderError(f"{self.name}: this timm computes attention without its qkv layer; use another version")
        keys = qkv[0, 1:, self.dim : 2 * self.dim].float().cpu().numpy()
        return _half(keys.reshape(*cells, self.dim), self.name)

    def _keep(self, _module: object, _inputs: object, output: Tensor) -> None:
        self._qkv = output


def load_regulariser(config: Config, encoder: Any) -> PatchFeatures | None:
    """Return the configured source of patch features; None where nothing asks for it, so that it costs nothing.

    Raises:
        EncoderError: it cannot be had; the message says what to change.
    """
    wanted: EncoderConfig = config.encoder
    if encoder is None or config.train.dino_weight == 0 or wanted.regulariser == "none":
        return None
    if wanted.regulariser == "dino" or (wanted.regulariser == "auto" and wanted.regulariser_weights):
        found: PatchFeatures = DinoPatches(wanted.regulariser_weights, torch_device(wanted.device, "encoder.device"))
    else:
        found = EncoderPatches(encoder)
    log.info("language is regularised with %s (%d wide)", found.name, found.dim)
    return found


def lookup(
    frames: Sequence[Keyframe], index: Int64[np.ndarray, " B"], pixel: Float32[np.ndarray, "B 2"], dim: int
) -> Float32[np.ndarray, "B P"]:
    """Return the feature of the cell that each pixel (u, v; integers are centres) of keyframe `index` lies in."""
    out = np.empty((len(index), dim), np.float32)
    for k in np.unique(index):
        rows, frame = np.flatnonzero(index == k), frames[int(k)]
        if frame.patches is None:
            raise ValueError(f"keyframe {frame.id} has no patch features")
        height, width = frame.patches.shape[:2]
        camera = frame.image.intrinsics
        x = ((pixel[rows, 0] + 0.5) * (width / camera.width)).astype(np.int64)
        y = ((pixel[rows, 1] + 0.5) * (height / camera.height)).astype(np.int64)
        out[rows] = frame.patches[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return out


def _read(weights: str) -> dict[str, Tensor]:
    """Return the tensors of a local file; nothing is ever fetched and nothing but tensors unpickled."""
    path = Path(weights).expanduser()
    if not path.is_file():
        what = "is not set" if not weights else f"{weights!r} is no file"
        raise EncoderError(f"encoder.regulariser_weights {what}: models are not fetched from the network by name; give "
                           f"the path of a local copy of the weights of {DINO} (timm/{DINO} on the Hugging Face hub)")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, pickle, zipfile and torch each raise their own
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise EncoderError(f"encoder.regulariser_weights {weights} cannot be read: {type(error).__name__}: {first}"
                           ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise EncoderError(f"encoder.regulariser_weights {weights} holds no plain table of tensors (a training "
                           "checkpoint? save its backbone's state_dict alone)")
    return state


def _half(features: Float32[np.ndarray, "h w P"], name: str) -> Float16[np.ndarray, "h w P"]:
    if not np.isfinite(features).all() or float(np.abs(features).max(initial=0.0)) > LARGEST:
        raise EncoderError(f"{name} gives NaN or huge features: its weights are damaged")
    return features.astype(np.float16)
