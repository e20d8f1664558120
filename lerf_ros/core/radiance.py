# SPDX-License-Identifier: Apache-2.0
"""Training and rendering of density and colour."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor, nn

from lerf_ros.config import Config
from lerf_ros.core import losses, rendering
from lerf_ros.core.batches import PixelBatch
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.field import RadianceField
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.hashgrid import TableAdam
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.rays import RayBundle, image_rays
from lerf_ros.core.sampling import DensityGrid, sample_by_density, sample_by_depth

Array1 = Float32[np.ndarray, " B"]
GRID_RESOLUTION = 128
GRID_UPDATE_CELLS = 8192
GRID_UPDATE_EVERY = 4
GRID_SAMPLED_SHARE = 0.25  # of rays with depth: what is rendered without depth must be trained without it, too
BAND_M, BAND_PER_M = 0.02, 0.02
RENDER_CHUNK = 4096


@dataclass(frozen=True)
class RadianceReport:
    """What one step found. `depth` is in units of the band; `photometric` is a mean squared error."""

    photometric: float
    depth: float
    free_space: float


@dataclass(frozen=True)
class Rendering:
    """A rendered image: colour in [0, 1], z-depth in metres, and accumulated weight."""

    rgb: Float32[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]
    opacity: Float32[np.ndarray, "H W"]


class Exposure(nn.Module):
    """Log gain and offset a colour channel of each keyframe: cameras change exposure while they look around."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(capacity, 6))

    def forward(self, rgb: Float[Tensor, "B 3"], slot: Int64[Tensor, " B"]) -> Float[Tensor, "B 3"]:
        """Return colours as the keyframe in `slot` exposed them."""
        row = self.table[slot]
        return rgb * torch.exp(row[:, :3]) + row[:, 3:]


class RadianceTrainer:
    """Owns the radiance field, its optimisers and its density grid. One thread uses it."""

    def __init__(self, config: Config, workers: Workers) -> None:
        self._train = config.train
        self._workers = workers
        self._rng = np.random.default_rng(config.train.seed)
        torch.manual_seed(config.train.seed)
        self.box = SceneBox.of(config.workspace)
        self.field = RadianceField(config.field, self.box, workers, config.train.seed)
        self.exposure = Exposure(config.keyframes.max_count + 1) if config.field.appearance else None
        self.density_grid = DensityGrid(self.box, GRID_RESOLUTION, initial=1.0)
        networks = [p for n, p in self.field.named_parameters() if n != "grid.table"]
        groups: list[dict[str, object]] = [{"params": networks}]
        if self.exposure is not None:
            groups.append({"params": list(self.exposure.parameters()), "weight_decay": 1e-2})
        self._adam = torch.optim.Adam(groups, lr=config.train.network_lr, betas=(0.9, 0.99), eps=1e-15, fused=True)
        self._table_adam = TableAdam(self.field.grid, workers)
        self._steps = 0

    def step(self, batch: PixelBatch, slots: Int64[np.ndarray, " B"], lr_ratio: float) -> RadianceReport:
        """Take one optimisation step on the rays of `batch`; `slots` are the exposure rows of their keyframes."""
        samples = self._train.samples if batch.depth_m.any() else self._train.samples_without_depth
        surface_t = batch.depth_m / batch.rays.z_per_t
        band = BAND_M + BAND_PER_M * surface_t
        t, last = self._sample(batch, surface_t, band, samples)
        density, colour = self.field(torch.from_numpy(batch.rays.points(t)), torch.from_numpy(batch.rays.directions))
        t_, last_, band_, surface_ = map(torch.from_numpy, (t, last, band, surface_t))
        weights = rendering.render_weights(density, rendering.interval_lengths(t_, last_))
        rgb = rendering.composite(weights, colour)
        if self.exposure is not None:
            rgb = self.exposure(rgb, torch.from_numpy(slots))
        keep = torch.from_numpy(batch.trainable)
        photometric = losses.photometric(rgb[keep], torch.from_numpy(batch.colour)[keep])
        valid = torch.from_numpy(batch.trainable & (batch.depth_m > 0))
        depth = losses.measured_depth(rendering.expected_distance(weights, t_), surface_, band_, valid)
        free = losses.free_space(weights, t_, surface_, band_, valid)
        loss = photometric + 0.1 * (self._train.depth_weight * depth + self._train.free_space_weight * free)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self._adam.param_groups:
            group["lr"] = self._train.network_lr * lr_ratio
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self._table_adam.step(self._train.grid_lr * lr_ratio)
        self._steps += 1
        if self._steps % GRID_UPDATE_EVERY == 0:
            self._update_density_grid()
        return RadianceReport(float(photometric.detach()), float(depth.detach()), float(free.detach()))

    def _sample(
        self, batch: PixelBatch, surface_t: Array1, band: Array1, samples: int
    ) -> tuple[Float32[np.ndarray, "B S"], Array1]:
        """Return distances, and the length that the last one stands for."""
        jitter = self._rng.random((len(batch), samples), dtype=np.float32)
        by_depth = (surface_t > 0) & (self._rng.random(len(batch)) >= GRID_SAMPLED_SHARE)
        t = np.empty((len(batch), samples), np.float32)
        last = np.full(len(batch), self._train.far_m, np.float32)
        near = self._train.near_m
        t[by_depth] = sample_by_depth(surface_t[by_depth], band[by_depth], near, jitter[by_depth])
        last[by_depth] = 2 * band[by_depth] / samples
        rest = ~by_depth
        rays = RayBundle(batch.rays.origins[rest], batch.rays.directions[rest], batch.rays.z_per_t[rest])
        t[rest] = sample_by_density(rays, self.density_grid, near, self._train.far_m, jitter[rest], self._workers)
        return t, last

    @torch.no_grad()
    def _update_density_grid(self) -> None:
        cells, unit = self.density_grid.draw_cells(GRID_UPDATE_CELLS, self._rng)
        density, _ = self.field.unit_density(torch.from_numpy(unit))
        self.density_grid.update(cells, density.numpy())

    @torch.no_grad()
    def distances(self, rays: RayBundle, samples: int) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B S"]]:
        """Return sample distances and their detached weights along any rays, without measured depth."""
        jitter = np.full((len(rays), samples), 0.5, np.float32)
        t = sample_by_density(rays, self.density_grid, self._train.near_m, self._train.far_m, jitter, self._workers)
        density, _ = self.field.density_features(torch.from_numpy(rays.points(t).reshape(-1, 3)))
        t_ = torch.from_numpy(t)
        last = torch.full((len(rays),), self._train.far_m)
        return t_, rendering.render_weights(density.view(t_.shape), rendering.interval_lengths(t_, last))

    @torch.no_grad()
    def render(
        self,
        intrinsics: Intrinsics,
        T_world_cam: Float64[np.ndarray, "4 4"],
        samples: int = 48,
        exposure: Float[Tensor, " 6"] | None = None,
    ) -> Rendering:
        """Render colour and z-depth (m) of any camera pose; `exposure` as a row of `Exposure` (None: the average one)."""
        rays = image_rays(intrinsics, T_world_cam)
        parts = [self._render_rays(rays[i : i + RENDER_CHUNK], samples) for i in range(0, len(rays), RENDER_CHUNK)]
        rgb, depth, opacity = (torch.cat(each) for each in zip(*parts, strict=True))
        if self.exposure is not None:
            row = torch.zeros(6) if exposure is None else exposure
            rgb = rgb * torch.exp(row[:3]) + row[3:]
        shape = (intrinsics.height, intrinsics.width)
        return Rendering(
            rgb.clamp(0, 1).numpy().reshape(*shape, 3), depth.numpy().reshape(shape), opacity.numpy().reshape(shape)
        )

    def _render_rays(self, rays: RayBundle, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        jitter = np.full((len(rays), samples), 0.5, np.float32)
        t = sample_by_density(rays, self.density_grid, self._train.near_m, self._train.far_m, jitter, self._workers)
        density, colour = self.field(torch.from_numpy(rays.points(t)), torch.from_numpy(rays.directions))
        t_ = torch.from_numpy(t)
        last = torch.full((len(rays),), self._train.far_m)
        weights = rendering.render_weights(density, rendering.interval_lengths(t_, last))
        depth = rendering.median_distance(weights, t_) * torch.from_numpy(rays.z_per_t)
        return rendering.composite(weights, colour), depth, weights.sum(-1)


def interpolate_exposure(stamps_ns: Sequence[int], rows: Float[Tensor, "K 6"], stamp_ns: int) -> Float[Tensor, " 6"]:
    """Return the exposure at a stamp from the keyframes around it in time: what a held-out frame most likely had."""
    order = np.argsort(np.asarray(stamps_ns))
    times = np.asarray(stamps_ns, np.float64)[order]
    table = rows.detach().numpy()[order]
    return torch.tensor([np.interp(stamp_ns, times, table[:, c]) for c in range(6)], dtype=torch.float32)
