# SPDX-License-Identifier: Apache-2.0
"""What a saved map looks like from any pose: colour, depth and relevancy, by volume rendering.

LERF section 3.1: embeddings are the render-weighted sum of unit vectors along a ray, normalised after the sum.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from lerf_ros.config import Config
from lerf_ros.core import rendering
from lerf_ros.core.corrections import interpolate_rows
from lerf_ros.core.field import LanguageField
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.radiance import RadianceTrainer, Rendering
from lerf_ros.core.rays import RayBundle, image_rays
from lerf_ros.core.relevancy import relevancy
from lerf_ros.errors import MapFileError

RAYS = 4096
"""Rays at once: what bounds the memory, whatever the size of the image."""

NEGLIGIBLE = 0.01
"""Samples of less weight are not looked up: they are most of them, and hardly turn the sum."""

ROWS = 2048
"""Look-ups are padded to a multiple of this: oneDNN keeps a compiled primitive for every shape it has ever seen."""

STOP_REACH = 5
STOP_NEAR = 2

MIN_WEIGHT = 0.1
"""Rays with less weight in the workspace are empty, as in training: nothing was ever learned there."""


@dataclass(frozen=True)
class _Samples:
    """The samples worth a look-up on a chunk of rays.

    Attributes:
        weight: of each, in order of their rays.
        first: index of each ray's first one.
        features: scale-free features of each, then some rows of padding.
        empty: which rays have next to no weight in the workspace.
    """

    weight: Float[Tensor, " M"]
    first: Int64[Tensor, " B"]
    features: Float[Tensor, "Mpadded F"]
    empty: Bool[Tensor, " B"]


class FieldView:
    """A map's fields, from its frozen weights, for rendering. One thread uses it.

    Args:
        weights: of a snapshot, as `LerfMapper.weights` names them.
        config: the configuration they were trained with.
        embed_dim: width of the encoder they were trained with; None: colour and depth only.
        threads: CPU threads to look hash grids up with.
        samples: on a ray, for language; None: as in training. The share of them that is looked up stays training's.

    Raises:
        MapFileError: the weights do not fit the configuration, or the language not the encoder's width.
    """

    def __init__(
        self, weights: Mapping[str, np.ndarray], config: Config, embed_dim: int | None = None, threads: int = 1,
        samples: int | None = None,
    ) -> None:  # fmt: skip
        workers = Workers(threads)
        # On this machine's CPU, wherever the map was trained.
        config = replace(config, field=replace(config.field, backend="auto", device="cpu"))
        self._config, self._weights = config, weights
        self._samples = samples or config.train.samples
        self._top = round(config.train.language_samples * self._samples / config.train.samples)
        self._radiance = RadianceTrainer(config, workers)
        try:
            for name in ("radiance", "exposure", "refinement"):
                module = self._radiance.field if name == "radiance" else getattr(self._radiance, name)
                if module is not None:
                    _load(module, name, weights)
            self._radiance.density_grid.values[:] = weights["density_grid"]
            self._stamps = weights["keyframes.stamp_ns"].tolist()
            self._slots = weights["keyframes.slot"].tolist()
        except (KeyError, RuntimeError, ValueError) as error:
            raise MapFileError(f"the map's weights do not fit its configuration: {error}") from error
        self._language = None if embed_dim is None else self._load_language(embed_dim, workers)

    def _load_language(self, embed_dim: int, workers: Workers) -> LanguageField:
        if not any(name.startswith("language.") for name in self._weights):
            raise MapFileError("the map's weights hold no language: it was made without an encoder; map anew with one")
        field = LanguageField(self._config.field, self._radiance.box, embed_dim, workers, self._config.train.seed)
        try:
            _load(field, "language", self._weights)
        except (KeyError, RuntimeError, ValueError) as error:
            raise MapFileError(f"the map's language does not fit its configuration or an encoder of width {embed_dim}: "
                               f"{error}") from error
        return field

    @property
    def views(self) -> int:
        """Keyframes of the map."""
        return len(self._weights.get("keyframes.T_world_cam", ()))

    def camera(self, index: int) -> tuple[Intrinsics, Float64[np.ndarray, "4 4"]]:
        """Return intrinsics and `T_world_cam` of a keyframe of the map.

        Raises:
            MapFileError: there is no such keyframe (the range is named), or the map is of a time when intrinsics were
                not saved.
        """
        if not 0 <= index < self.views:
            raise MapFileError(f"there is no view {index}: the map has views 0 to {self.views - 1}" if self.views else
                               "the map has no views: it was saved without keyframes")
        rows = self._weights.get("keyframes.intrinsics")
        if rows is None or len(rows) != self.views:
            raise MapFileError("the map was saved without the intrinsics of its keyframes (an older version's map): "
                               "map anew, or give a pose and intrinsics")
        fx, fy, cx, cy, width, height = (float(v) for v in rows[index])
        pose = np.array(self._weights["keyframes.T_world_cam"][index], np.float64)
        return Intrinsics(int(width), int(height), fx, fy, cx, cy), pose

    def colour(self, intrinsics: Intrinsics, T_world_cam: Float64[np.ndarray, "4 4"]) -> Rendering:
        """Render colour, z-depth (m) and opacity at the average exposure, the camera exactly where it is said to be."""
        return self._radiance.render(intrinsics, T_world_cam)

    @torch.no_grad()
    def stopping(
        self, points: Float32[np.ndarray, "N 3"], normals: Float32[np.ndarray, "N 3"], voxel_m: float
    ) -> Float32[np.ndarray, " N"]:
        """Return how much of the light that comes along the normal the learned density stops at each surface point.

        Light starts `STOP_REACH` voxels before the surface; what is stopped within `STOP_NEAR` voxels of it counts.
        """
        steps = np.arange(STOP_REACH, -STOP_REACH - 1, -1, dtype=np.float32)
        at = points[:, None] + voxel_m * steps[:, None] * normals[:, None]
        density = torch.cat([self._radiance.field.density_features(torch.from_numpy(part))[0]
                             for part in np.array_split(at.reshape(-1, 3), max(1, at.size // (3 * RAYS)))])
        lengths = torch.full((len(points), len(steps)), voxel_m)
        weights = rendering.render_weights(density.view(len(points), -1), lengths).numpy()
        return np.asarray(weights[:, np.abs(steps) <= STOP_NEAR].sum(axis=1), np.float32)

    @torch.no_grad()
    def density(self, points: Float32[np.ndarray, "N 3"]) -> Float32[np.ndarray, " N"]:
        """Return the learned density at world points, 1/m."""
        return self._radiance.field.density_features(torch.from_numpy(points))[0].numpy()

    def render(self, image: PosedImage, corrected: bool) -> Rendering:
        """Render the view of an image, with or without the corrections interpolated to its stamp."""
        rows = []
        for correction in (self._radiance.exposure, self._radiance.refinement):
            use = corrected and correction is not None
            table = correction.table[self._slots] if use and correction is not None else None
            rows.append(None if table is None else interpolate_rows(self._stamps, table, image.stamp_ns))
        return self._radiance.render(image.intrinsics, image.T_world_cam, *rows)

    def relevancy(
        self,
        intrinsics: Intrinsics,
        T_world_cam: Float64[np.ndarray, "4 4"],
        positives: Float32[np.ndarray, "P D"],
        negatives: Float32[np.ndarray, "C D"],
        scales_m: Float32[np.ndarray, " S"],
    ) -> Float32[np.ndarray, "P S H W"]:
        """Return the relevancy of every pixel to each phrase at each scale; 0 where the ray is empty.

        Args:
            intrinsics: of the image wanted.
            T_world_cam: its pose.
            positives: unit embeddings of the phrases.
            negatives: those of the canonical and other phrases they must beat.
            scales_m: physical scales, metres.

        Raises:
            MapFileError: the view was made without an encoder's width.
        """
        wanted, others = torch.from_numpy(positives), torch.from_numpy(negatives)
        out = np.empty((len(positives), len(scales_m), intrinsics.height * intrinsics.width), np.float32)
        start = 0
        for chunk in self._chunks(intrinsics, T_world_cam):
            for s, scale in enumerate(scales_m):
                found = relevancy(self._embed(chunk, float(scale))[None], wanted, others)
                out[:, s, start : start + len(chunk.first)] = found[:, 0].numpy()
            start += len(chunk.first)
        return out.reshape(len(positives), len(scales_m), intrinsics.height, intrinsics.width)

    def _chunks(self, intrinsics: Intrinsics, T_world_cam: Float64[np.ndarray, "4 4"]) -> Iterator[_Samples]:
        if self._language is None:
            raise MapFileError("this view renders colour and depth only: make it with the encoder's width")
        rays = image_rays(intrinsics, T_world_cam)
        for start in range(0, len(rays), RAYS):
            yield self._sample(self._language, rays[start : start + RAYS])

    @torch.no_grad()
    def _sample(self, language: LanguageField, rays: RayBundle) -> _Samples:
        """Take the top-k samples by render weight, as training does, and look those up that count."""
        t, every = self._radiance.distances(rays, self._samples)
        weights, index = rendering.top_samples(every, max(self._top, 1))
        points = rays.points(t.gather(-1, index).numpy())
        weights = weights * torch.from_numpy(self._radiance.box.contains(points))
        keep = weights > NEGLIGIBLE
        padding = (0, 0, 0, -int(keep.sum()) % ROWS)
        wanted = functional.pad(torch.from_numpy(points[keep.numpy()]), padding)
        counts = keep.sum(-1)
        return _Samples(
            weight=weights[keep],
            first=counts.cumsum(0) - counts,
            features=language.encode(wanted),
            empty=weights.sum(-1) < MIN_WEIGHT,
        )

    @torch.no_grad()
    def _embed(self, chunk: _Samples, scale_m: float) -> Float[Tensor, "B D"]:
        """Return the weighted sum of each ray's unit vectors, normalised; zero for the empty ones."""
        assert self._language is not None
        each = self._language.head(chunk.features, torch.full((len(chunk.features),), scale_m))
        rows = torch.arange(len(chunk.weight))
        summed = functional.embedding_bag(rows, each, chunk.first, mode="sum", per_sample_weights=chunk.weight)
        return functional.normalize(summed, dim=-1) * ~chunk.empty[:, None]


def _load(module: nn.Module, name: str, weights: Mapping[str, np.ndarray]) -> None:
    prefix = f"{name}."
    state = {k.removeprefix(prefix): torch.from_numpy(np.array(v)) for k, v in weights.items() if k.startswith(prefix)}
    module.load_state_dict(state)
