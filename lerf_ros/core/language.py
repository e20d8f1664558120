# SPDX-License-Identifier: Apache-2.0
"""Training of the language field, and its evaluation on surface points."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from lerf_ros.config import Config
from lerf_ros.core import losses, regulariser, rendering
from lerf_ros.core.batches import PixelBatch
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.descent import Descent, Rate
from lerf_ros.core.field import LanguageField, PatchHead
from lerf_ros.core.hashgrid import make_optimiser
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.pyramid_bank import PyramidBank
from lerf_ros.core.radiance import RadianceTrainer

EVALUATE_CHUNK = 16384
EVALUATE_ROWS = 512
MIN_USABLE = 16
CLIP_LOSSES = {"cosine": losses.clip_similarity, "huber": losses.clip_huber}


@dataclass(frozen=True)
class LanguageReport:
    """What one step found: both losses without their weights (`dino`: NaN without a regulariser), and their sum with.
    """

    clip: float
    dino: float
    total: float


class LanguageTrainer:
    """Owns the language field, its optimisers and the keyframes' pyramids. One thread uses it."""

    def __init__(
        self, config: Config, embed_dim: int, radiance: RadianceTrainer, workers: Workers, patch_dim: int | None = None
    ) -> None:
        self._train = config.train
        self._radiance, self._there = radiance, radiance.there
        self._rng = np.random.default_rng(config.train.seed + 1)
        self._box: SceneBox = radiance.box
        self.bank = PyramidBank()
        self.field = LanguageField(config.field, radiance.box, embed_dim, workers, config.train.seed + 1)
        self.patch_head = None if patch_dim is None else PatchHead(self.field.width, patch_dim)
        if self.patch_head is not None:
            self.patch_head.to(radiance.there.device)
        networks = [p for n, p in self.field.named_parameters() if not n.endswith("grid.table")]
        networks += [] if self.patch_head is None else list(self.patch_head.parameters())
        decay = config.train.weight_decay
        self._descent = Descent(
            [Rate(networks, config.train.language_network_lr, decay)],
            [make_optimiser(grid, workers, decay) for grid in self.field.grids], config.train.language_grid_lr,
        )  # fmt: skip

    @property
    def skipped(self) -> int:
        """Steps skipped so far because their loss or gradient was not finite."""
        return self._descent.skipped

    def step(self, batch: PixelBatch, lr_ratio: float) -> LanguageReport | None:
        """Take one step on the pixels of `batch`; return the losses, or None when no pixel could be used."""
        samples, weights = self._samples(batch)
        points = batch.rays.points(samples)
        usable = np.flatnonzero(batch.trainable & (weights.sum(-1) > 0.1) & self._box.contains(points[:, 0]))
        if len(usable) < MIN_USABLE:
            return None
        # Always the same number of rows: oneDNN keeps a compiled primitive for every shape it has ever seen.
        rows = np.resize(usable, len(batch))
        level = self._rng.uniform(0, self.bank.levels - 1, len(rows)).astype(np.float32)
        slots = np.array([self.bank.slot(frame.id) for frame in batch.frames], np.int64)[batch.frame[rows]]
        target = self.bank.lookup(slots, batch.pixel[rows, 0], batch.pixel[rows, 1], level)
        z = samples[rows] * batch.rays.z_per_t[rows, None]
        scale = physical_scale(self.bank.tile_px(slots, level), z, batch.focal_px[rows])
        embedding, patches = self._render(points[rows], scale, weights[rows])
        clip = CLIP_LOSSES[self._train.clip_loss](embedding, self._there.tensor(target))
        loss, dino = self._train.clip_weight * clip, float("nan")
        if patches is not None:
            wanted = regulariser.lookup(batch.frames, batch.frame[rows], batch.pixel[rows], patches.shape[1])
            squared = losses.patch_features(patches, self._there.tensor(wanted))
            loss, dino = loss + self._train.dino_weight * squared, float(squared.detach())
        self._descent.step(loss, lr_ratio)
        return LanguageReport(float(clip.detach()), dino, float(loss.detach()))

    def _samples(self, batch: PixelBatch) -> tuple[Float32[np.ndarray, "B k"], Float32[np.ndarray, "B k"]]:
        """Return distances and weights to render language with: the measured surface, else the top-k of the density."""
        if self._train.language_at == "auto" and batch.depth_m.any():
            t = (batch.depth_m / batch.rays.z_per_t)[:, None]
            return t, (t > 0).astype(np.float32)
        t_all, w_all = self._radiance.distances(batch.rays)
        weights, index = rendering.top_samples(w_all, self._train.language_samples)
        return t_all.gather(-1, index).cpu().numpy(), weights.cpu().numpy()

    def _render(
        self,
        points: Float32[np.ndarray, "B k 3"],
        scale_m: Float32[np.ndarray, "B k"],
        weights: Float32[np.ndarray, "B k"],
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B P"] | None]:
        """Return the embedding of each ray, a weighted sum of unit vectors, then normalised (LERF section 3.1), and
        its patch features, a weighted sum alone. The hash features are looked up once for both."""
        rays, k, _ = points.shape
        detached = self._there.tensor(weights)
        features = self.field.encode(self._there.tensor(points.reshape(-1, 3)))
        each = self.field.head(features, self._there.tensor(scale_m.reshape(-1)))
        embedding = rendering.composite_unit(detached, each.view(rays, k, -1))
        if self.patch_head is None:
            return embedding, None
        return embedding, rendering.composite(detached, self.patch_head(features).view(rays, k, -1))

    @torch.no_grad()
    def evaluate(
        self, points: Float32[np.ndarray, "N 3"], scales_m: Float32[np.ndarray, " S"]
    ) -> Float[Tensor, "S N D"]:
        """Return unit embeddings of points at every scale; the hash features are computed once a point."""
        out = torch.empty(len(scales_m), len(points), self.field.embed_dim)
        for start in range(0, len(points), EVALUATE_CHUNK):
            part = self._there.tensor(points[start : start + EVALUATE_CHUNK])
            # Rows in multiples: oneDNN keeps a compiled primitive for every shape it has ever seen.
            features = self.field.encode(functional.pad(part, (0, 0, 0, -len(part) % EVALUATE_ROWS)))
            for s, scale in enumerate(scales_m):
                found = self.field.head(features, torch.full((len(features),), float(scale), device=features.device))
                out[s, start : start + len(part)] = found[: len(part)]
        return out


def physical_scale(
    tile_px: Float32[np.ndarray, " B"], z_m: Float[np.ndarray, "B k"], focal_px: Float32[np.ndarray, " B"]
) -> Float32[np.ndarray, "B k"]:
    """Return the height in metres that a ray's tile covers at each of its samples (z-depths), by its own camera."""
    return np.asarray(tile_px[:, None] * z_m / focal_px[:, None], np.float32)
