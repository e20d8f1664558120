# SPDX-License-Identifier: Apache-2.0
"""Image-text encoders: one protocol, and open_clip models behind it.

Everything the map and the queries know about language comes through `ImageTextEncoder`. An encoder holds no phrase and
no query state; only finished text embeddings are remembered.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from lerf_ros.config import EncoderConfig
from lerf_ros.core import dense
from lerf_ros.core.calibration import Calibration, read_calibration
from lerf_ros.core.device import own_stream, torch_device
from lerf_ros.core.encoder_files import LOCAL_DIR, model_folder, sha256, weights_file
from lerf_ros.core.inference import SAME, fast_bfloat16, folded, probe_images
from lerf_ros.core.small_maps import quicker
from lerf_ros.core.towers import DenseTower, dense_tower
from lerf_ros.errors import EncoderError

log = logging.getLogger(__name__)

CACHED_PHRASES = 4096


@runtime_checkable
class ImageTextEncoder(Protocol):
    """What the map needs of an encoder. Embeddings are unit vectors of one shared space.

    Attributes:
        name: what the node reports, e.g. "tinyclip (bundled)" or "ViT-B-16/laion2b_s34b_b88k".
        sha256: of the weights file, "" when unknown.
        embed_dim: D.
        image_size: crops are squares of this many pixels.
        calibration: evidence to probability, measured with these weights.
    """

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def embed_dim(self) -> int: ...
    @property
    def image_size(self) -> int: ...
    @property
    def calibration(self) -> Calibration: ...

    def encode_images(self, crops: UInt8[np.ndarray, "N H W 3"]) -> Float32[np.ndarray, "N D"]:
        """Return the unit embedding of each RGB crop; H = W = `image_size`."""
        ...

    def encode_texts(self, phrases: Sequence[str]) -> Float32[np.ndarray, "P D"]:
        """Return the unit embedding of each phrase. Safe to call from any thread."""
        ...


class OpenClipEncoder:
    """An open_clip model for inference: channels-last, batch norms folded, bfloat16 where it is fast and the same."""

    def __init__(
        self, model: nn.Module, tokenizer: Any, config: EncoderConfig, name: str, sha256: str, calibration: Calibration
    ) -> None:
        """Prepare `model`; it belongs to this object from now on.

        Raises:
            EncoderError: not a square image size, or the weights give NaN or zero embeddings.
        """
        self.name, self.sha256, self.calibration = name, sha256, calibration
        self._device = torch_device(config.device, "encoder.device")
        self._batch = config.batch_size
        self._lock = threading.Lock()
        self._texts: OrderedDict[str, Float32[np.ndarray, " D"]] = OrderedDict()
        self._tokenizer = tokenizer
        visual: Any = model.visual
        self.image_size = _square(visual.image_size, name)
        mean, std = (torch.tensor(v, device=self._device) * 255 for v in (visual.image_mean, visual.image_std))
        self._scale, self._shift = (1 / std)[:, None, None], (-mean / std)[:, None, None]
        self._model: Any = model.eval().requires_grad_(False).to(self._device).to(memory_format=torch.channels_last)
        self._visual: Any = visual
        self._dense: DenseTower | None = None
        self._bf16 = False
        self._quick: nn.Module | None = None
        probe = probe_images(self.image_size)
        plain = self.encode_images(probe)
        self.embed_dim = plain.shape[1]
        self.encode_texts(("object",))
        self._folded = self._fold_batch_norms(probe, plain)
        self._bf16 = fast_bfloat16(self._device)
        if self._bf16 and not self._agrees(probe, plain):
            log.info("%s: bfloat16 changes its embeddings, staying with float32", name)
            self._bf16 = False
        if self._folded and self._device.type == "cpu":
            self._take_quicker_tower(probe, plain)

    def encode_images(self, crops: UInt8[np.ndarray, "N H W 3"]) -> Float32[np.ndarray, "N D"]:
        """Return unit embeddings of RGB crops, in batches of the configured size.

        Raises:
            EncoderError: crops of another size or type, or an embedding that is not finite.
        """
        side = self.image_size
        if crops.dtype != np.uint8 or crops.shape[1:] != (side, side, 3):
            raise EncoderError(f"{self.name} takes uint8 {side} x {side} x 3, not {crops.dtype} {crops.shape[1:]}")
        if not len(crops):
            return np.zeros((0, self.embed_dim), np.float32)
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            batches = torch.split(torch.from_numpy(np.ascontiguousarray(crops)), self._batch)
            return self._unit(torch.cat([self._embedded(batch) for batch in batches]))

    def encode_dense(self, rgb: UInt8[np.ndarray, "H W 3"], tile_px: int) -> dense.DenseEmbeddings:
        """Return unit embeddings of half-overlapping windows of about `tile_px` pixels, from one pass of the tower.

        Raises:
            EncoderError: the tower cannot do that, or an embedding is not finite.
        """
        tower = self._tower()
        height, width = rgb.shape[:2]
        plan = dense.plan(width, height, tile_px, tower)
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            features = self._unit(dense.window_features(tower, rgb, plan, self._normalised))
        first, stride = plan.lattice(width, height)
        return dense.DenseEmbeddings(first, stride, features.reshape(plan.ny, plan.nx, -1))

    def patch_features(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w P"]:
        """Return raw patch features of the image, resized to a shorter side of about 500 pixels (as LERF for DINO).

        Convolutional towers: the map before pooling, every `stride` pixels of the resized image. Vision transformers:
        the keys of the last block. Not normalised: the bundled encoder's 512 are >= 0, a cell about 20 long (6 to 70).

        Raises:
            EncoderError: the tower has no such features.
        """
        tower = self._tower()
        image = torch.from_numpy(dense.patch_image(rgb, tower.stride_px))[None]
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            features = tower.patches(self._normalised(image)).float().permute(1, 2, 0)
        return np.asarray(features.contiguous().cpu().numpy())

    def encode_texts(self, phrases: Sequence[str]) -> Float32[np.ndarray, "P D"]:
        """Return unit embeddings of phrases; text beyond the model's context is cut off.

        Raises:
            EncoderError: an embedding is not finite.
        """
        with self._lock, torch.inference_mode():
            new = [p for p in dict.fromkeys(phrases) if p not in self._texts]
            if new:
                with own_stream(self._device):
                    tokens = self._tokenizer(new).to(self._device)
                    found = self._unit(self._model.encode_text(tokens).float())
                self._texts.update(zip(new, found, strict=True))
            out = np.stack([self._texts[p] for p in phrases]) if phrases else np.zeros((0, self.embed_dim), np.float32)
            for phrase in phrases:
                self._texts.move_to_end(phrase)
            while len(self._texts) > CACHED_PHRASES:
                self._texts.popitem(last=False)
            return out

    def _embedded(self, crops: UInt8[Tensor, "N H W 3"]) -> Float[Tensor, "N D"]:
        """Return float32 embeddings, not of unit length."""
        x = self._normalised(crops)
        found = self._model.encode_image(x) if self._quick is None else self._quick(x.to(self._dtype()))
        return found.float()  # type: ignore[no-any-return]

    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self._bf16 else torch.float32

    def _normalised(self, crops: UInt8[Tensor, "N H W 3"]) -> Float[Tensor, "N 3 H W"]:
        x = crops.to(self._device).permute(0, 3, 1, 2)  # the memory stays channels-last
        return x.float().mul_(self._scale).add_(self._shift)

    def _unit(self, embeddings: Float[Tensor, "N D"]) -> Float32[np.ndarray, "N D"]:
        norm = embeddings.norm(dim=-1, keepdim=True)
        if not bool(torch.isfinite(norm).all()) or float(norm.min()) < 1e-6:
            raise EncoderError(f"{self.name} gives NaN or zero embeddings: its weights are damaged or half loaded")
        unit: Float32[np.ndarray, "N D"] = (embeddings / norm).cpu().numpy()
        return unit

    def _agrees(self, probe: UInt8[np.ndarray, "N H W 3"], plain: Float32[np.ndarray, "N D"]) -> bool:
        return bool((self.encode_images(probe) * plain).sum(axis=1).min() > SAME)

    def _fold_batch_norms(self, probe: UInt8[np.ndarray, "N H W 3"], plain: Float32[np.ndarray, "N D"]) -> bool:
        """Fold batch norms if that changes nothing; return whether it was done."""
        visual = folded(self._visual, self.name)
        if visual is None:
            return False
        self._model.visual = visual
        if not self._agrees(probe, plain):
            self._model.visual = self._visual
            return False
        return True

    def _take_quicker_tower(self, probe: UInt8[np.ndarray, "N H W 3"], plain: Float32[np.ndarray, "N D"]) -> None:
        """Compute crops with layers that are faster on a CPU, if there are such and they change nothing."""
        try:
            self._quick = quicker(self._model.visual, self.image_size, self._dtype())
            same = self._quick is None or self._agrees(probe, plain)
        except Exception as error:  # towers of any making: what does not fit stays as it was
            log.info("%s: no quicker layers (%s)", self.name, error)
            same = False
        if not same:
            self._quick = None

    def _tower(self) -> DenseTower:
        """Return the image tower for whole images, made when first asked for."""
        with self._lock:
            if self._dense is None:
                self._dense = dense_tower(self._visual, self.image_size, self._folded, self.name)
            return self._dense


def load_encoder(config: EncoderConfig) -> OpenClipEncoder:
    """Load the configured encoder: the bundled one, an open_clip name, or an open_clip schema.

    Raises:
        EncoderError: it cannot be had or used; the message says what to change.
        BackendError: its device is not there.
    """
    folder = model_folder(config)
    if config.model == "bundled":
        name, model = f"{folder.name} (bundled)" if folder else "", f"{LOCAL_DIR}{folder}"
    else:
        name, model = "/".join(filter(None, (config.model, config.pretrained))), config.model
    weights = weights_file(folder) if folder else Path(config.pretrained)
    calibration = read_calibration(folder) if folder else Calibration()
    network, tokenizer = _open(model, folder, config)
    checksum = sha256(weights) if weights.is_file() else ""
    return OpenClipEncoder(network, tokenizer, config, name, checksum, calibration)


def _open(model: str, folder: Path | None, config: EncoderConfig) -> tuple[nn.Module, Any]:
    import open_clip  # slow, and must come before MuJoCo: see lerf_ros.sim

    if folder is None and not model.startswith("hf-hub:"):
        known = open_clip.list_models()
        if model not in known:
            raise EncoderError(f"encoder.model {model!r} is no open_clip name (python -c 'import open_clip; "
                               f"print(open_clip.list_models())'), nor 'bundled', 'local-dir:...' or 'hf-hub:...'")
        if not config.pretrained:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
            raise EncoderError(f"encoder.pretrained must name a checkpoint file or a tag for {model}: {tags}")
    extra: dict[str, Any] = {}
    device = torch_device(config.device, "encoder.device")
    if folder is not None and (cut := sorted(folder.glob("bpe_simple_vocab*.txt.gz"))):
        extra["bpe_path"] = str(cut[0])
    try:
        network = open_clip.create_model(
            model, pretrained=config.pretrained or None, device=device, require_pretrained=True
        )
        return network, open_clip.get_tokenizer(model, **extra)
    except Exception as error:  # open_clip, safetensors, torch and the hub each raise their own
        remote = folder is None and not Path(config.pretrained).is_file()
        hint = "without network it must already be in the cache; or give a local folder or file" if remote else (
            "the file is damaged, or its weights do not fit the model configuration")
        what = f"encoder {model} {config.pretrained}".rstrip()
        raise EncoderError(f"{what} cannot be loaded: {_first_line(error)} ({hint})") from error


def _square(size: object, name: str) -> int:
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if sides[0] != sides[1]:
        raise EncoderError(f"{name} takes images of {sides}; only square ones are supported")
    return int(sides[0])


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300] if str(error).strip() else ''}"
