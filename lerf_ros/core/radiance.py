# SPDX-License-Identifier: Apache-2.0
"""Training and rendering of density and colour."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from lerf_ros.config import Config
from lerf_ros.core import losses, rendering
from lerf_ros.core.batches import PixelBatch
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.corrections import CameraRefinement, Exposure, gather
from lerf_ros.core.descent import Descent, Rate
from lerf_ros.core.device import place
from lerf_ros.core.field import RadianceField
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.hashgrid import make_optimiser
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.rays import RayBundle, image_rays
from lerf_ros.core.sampling import DensityGrid, sample_by_density, sample_by_depth

GRID_RESOLUTION = 128
GRID_UPDATE_CELLS = 8192
GRID_UPDATE_EVERY = 4
BAND_M, BAND_PER_M = 0.015, 0.015
RENDER_CHUNK = 4096
RENDER_SAMPLES = 32
EXPOSURE_LR, POSE_LR, INTRINSICS_LR = 3e-3, 5e-4, 7e-4
CORRECTION_DECAY = 1e-4


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


class RadianceTrainer:
    """Owns the radiance field, its optimisers and its density grid. One thread uses it."""

    def __init__(self, config: Config, workers: Workers) -> None:
        self._train = config.train
        self._workers = workers
        self._rng = np.random.default_rng(config.train.seed)
        torch.manual_seed(config.train.seed)
        self.box = SceneBox.of(config.workspace)
        self.there = place(config.field)
        self.field = RadianceField(config.field, self.box, workers, config.train.seed)
        rows, device = config.keyframes.max_count + 1, self.there.device
        self.exposure = Exposure(rows).to(device) if config.field.appearance else None
        self.density_grid = DensityGrid(self.box, GRID_RESOLUTION, initial=1.0)
        self.refinement = CameraRefinement(rows).to(device) if config.field.refine_cameras else None
        networks = [p for n, p in self.field.named_parameters() if n != "grid.table"]
        rates = [Rate(networks, config.train.network_lr)]
        # Decay pulls corrections towards none: only what the images insist on stays.
        if self.exposure is not None:
            rates.append(Rate([self.exposure.table], EXPOSURE_LR, CORRECTION_DECAY))
        if self.refinement is not None:
            rates.append(Rate([self.refinement.table], POSE_LR, CORRECTION_DECAY))
            rates.append(Rate([self.refinement.intrinsics], INTRINSICS_LR, CORRECTION_DECAY))
        self._descent = Descent(rates, [make_optimiser(self.field.grid, workers)], config.train.grid_lr)
        self._steps = 0

    def step(self, batch: PixelBatch, slots: Int64[np.ndarray, " B"], lr_ratio: float) -> RadianceReport:
        """Take one optimisation step on the rays of `batch`, if its gradient is finite.

        `slots` are the rows of the corrections that belong to the rays' keyframes.
        """
        photometric = self._colour_loss(batch, slots)
        loss = photometric
        measured = np.flatnonzero(batch.trainable & (batch.depth_m > 0))[: self._train.depth_rays]
        depth = free = torch.zeros((), device=self.there.device)
        if len(measured):
            depth, free = self._depth_losses(batch, measured)
            loss = photometric + self._train.depth_weight * depth + self._train.free_space_weight * free
        self._descent.step(loss, lr_ratio)
        self._steps += 1
        if self._steps % GRID_UPDATE_EVERY == 0:
            self._update_density_grid()
        return RadianceReport(float(photometric.detach()), float(depth.detach()), float(free.detach()))

    @property
    def skipped(self) -> int:
        """Steps skipped so far because their loss or gradient was not finite."""
        return self._descent.skipped

    @torch.no_grad()
    def colour_error(self, batch: PixelBatch, slots: Int64[np.ndarray, " B"]) -> float:
        """Return the mean squared colour error of rays, 0 if none of them may be trained on."""
        return float(self._colour_loss(batch, slots)) if batch.trainable.any() else 0.0

    def _colour_loss(self, batch: PixelBatch, slots: Int64[np.ndarray, " B"]) -> Float[Tensor, ""]:
        """Render the rays as a held-out view is rendered, by the density learned so far, and compare colours."""
        t = self.there.tensor(self._distances(batch.rays, self._train.samples, self._rng))
        origins, directions = self.there.tensor(batch.rays.origins), self.there.tensor(batch.rays.directions)
        if self.refinement is not None:
            local, rotation = self.there.tensor(batch.local), self.there.tensor(batch.rotation)
            row = gather(self.refinement.table, slots)
            origins, directions = self.refinement(local, rotation, origins, row)
        points = origins[:, None] + directions[:, None] * t[..., None]
        density, colour = self.field(points, directions)
        rgb = rendering.composite(rendering.render_weights(density, self._lengths(t)), colour)
        if self.exposure is not None:
            rgb = self.exposure(rgb, gather(self.exposure.table, slots))
        keep = self.there.tensor(batch.trainable)
        return losses.photometric(rgb[keep], self.there.tensor(batch.colour)[keep])

    def _depth_losses(
        self, batch: PixelBatch, rows: Int64[np.ndarray, " D"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Compare where the measured pixels' own rays end; colour need not be registered perfectly for this.

        Half of the rays are sampled around the measurement, the other half by the density learned so far: what is
        rendered without measured depth must be supervised without it, too.
        """
        rays = RayBundle(batch.rays.origins[rows], batch.rays.directions[rows], batch.rays.z_per_t[rows])
        surface_t = batch.depth_m[rows] / rays.z_per_t
        band = (BAND_M + BAND_PER_M * surface_t).astype(np.float32)
        half, samples = len(rows) // 2, self._train.samples
        jitter = self._rng.random((half, samples), dtype=np.float32)
        near = sample_by_depth(surface_t[:half], band[:half], self._train.near_m, jitter)
        t = np.concatenate([near, self._distances(rays[half:], samples, self._rng)])
        last = np.concatenate([2 * band[:half] / samples, np.full(len(rows) - half, self._train.far_m, np.float32)])
        density, _ = self.field.density_features(self.there.tensor(rays.points(t).reshape(-1, 3)))
        t_, band_, surface_ = self.there.tensor(t), self.there.tensor(band), self.there.tensor(surface_t)
        delta = rendering.interval_lengths(t_, self.there.tensor(last.astype(np.float32)))
        weights = rendering.render_weights(density.view(t_.shape), delta)
        expected = rendering.expected_distance(weights, t_)
        return losses.measured_depth(expected, surface_, band_), losses.free_space(weights, t_, surface_, band_)

    def _distances(self, rays: RayBundle, samples: int, rng: np.random.Generator | None) -> Float32[np.ndarray, "B S"]:
        """Return sample distances by density; without a generator at the middle of each stratum."""
        shape = (len(rays), samples)
        jitter = np.full(shape, 0.5, np.float32) if rng is None else rng.random(shape, dtype=np.float32)
        return sample_by_density(rays, self.density_grid, self._train.near_m, self._train.far_m, jitter, self._workers)

    def _lengths(self, t: Float[Tensor, "B S"]) -> Float[Tensor, "B S"]:
        """Return interval lengths; the last sample stands for all beyond, so that every ray ends somewhere."""
        return rendering.interval_lengths(t, torch.full((len(t),), self._train.far_m, device=t.device))

    @torch.no_grad()
    def forget(self, slot: int) -> None:
        """Clear a row of the corrections, and what the optimiser remembers of it, for another keyframe's use."""
        for correction in (self.exposure, self.refinement):
            if correction is not None:
                correction.table[slot] = 0.0
                self._descent.forget(correction.table, slot)

    @torch.no_grad()
    def _update_density_grid(self) -> None:
        cells, unit = self.density_grid.draw_cells(GRID_UPDATE_CELLS, self._rng)
        density, _ = self.field.unit_density(self.there.tensor(unit))
        self.density_grid.update(cells, density.cpu().numpy())

    @torch.no_grad()
    def distances(
        self, rays: RayBundle, samples: int | None = None
    ) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B S"]]:
        """Return sample distances and their detached weights along any rays, without measured depth.

        Args:
            rays: where to look.
            samples: a ray; None: as many as in training.
        """
        distances = self._distances(rays, samples or self._train.samples, None)
        t = self.there.tensor(distances)
        density, _ = self.field.density_features(self.there.tensor(rays.points(distances).reshape(-1, 3)))
        return t, rendering.render_weights(density.view(t.shape), self._lengths(t))

    @torch.no_grad()
    def render(
        self,
        intrinsics: Intrinsics,
        T_world_cam: Float64[np.ndarray, "4 4"],
        exposure: Float[Tensor, " 6"] | None = None,
        refinement: Float[Tensor, " 6"] | None = None,
    ) -> Rendering:
        """Render colour and z-depth (m) of any camera pose.

        Args:
            intrinsics: of the image wanted.
            T_world_cam: its pose.
            exposure, refinement: rows of the correction tables; None renders colour at the average exposure, and the
                camera exactly where it is said to be.
        """
        rays = self._image_rays(intrinsics, T_world_cam, refinement)
        parts = [self._render_rays(rays[i : i + RENDER_CHUNK]) for i in range(0, len(rays), RENDER_CHUNK)]
        rgb, depth, opacity = (torch.cat(each) for each in zip(*parts, strict=True))
        if self.exposure is not None and exposure is not None:
            rgb = self.exposure(rgb, exposure.to(rgb).expand(len(rgb), 6))
        shape = (intrinsics.height, intrinsics.width)
        return Rendering(
            *(each.cpu().numpy().reshape(*shape, *each.shape[1:]) for each in (rgb.clamp(0, 1), depth, opacity))
        )

    def _image_rays(
        self, intrinsics: Intrinsics, T_world_cam: Float64[np.ndarray, "4 4"], row: Float[Tensor, " 6"] | None
    ) -> RayBundle:
        rays = image_rays(intrinsics, T_world_cam)
        if self.refinement is None or row is None:
            return rays
        rotation = self.there.tensor(T_world_cam[:3, :3].astype(np.float32)).expand(len(rays), 3, 3)
        local = self.there.tensor((rays.directions @ T_world_cam[:3, :3]).astype(np.float32))
        origins, directions = self.refinement(
            local / local[:, 2:], rotation, self.there.tensor(rays.origins), row.to(local).expand(len(rays), 6)
        )
        return RayBundle(origins.cpu().numpy(), directions.cpu().numpy(), rays.z_per_t)

    def _render_rays(self, rays: RayBundle) -> tuple[Tensor, Tensor, Tensor]:
        distances = self._distances(rays, RENDER_SAMPLES, None)
        t = self.there.tensor(distances)
        density, colour = self.field(self.there.tensor(rays.points(distances)), self.there.tensor(rays.directions))
        weights = rendering.render_weights(density, self._lengths(t))
        depth = rendering.median_distance(weights, t) * self.there.tensor(rays.z_per_t)
        return rendering.composite(weights, colour), depth, weights.sum(-1)
