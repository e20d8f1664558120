# SPDX-License-Identifier: Apache-2.0
"""The field: density and colour from one hash grid, language from another (LERF section 3.4).

The language grid shares nothing with the radiance grid but sample positions; its loss never reaches density.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lerf_ros.config import FieldConfig
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.device import place
from lerf_ros.core.hashgrid import GridLayout, HashGrid, make_grid
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.inference import fast_bfloat16

GEOMETRY_FEATURES = 15
DIRECTION_FEATURES = 9
PATCH_HIDDEN = 256


def spherical_harmonics(d: Float[Tensor, "B 3"]) -> Float[Tensor, "B 9"]:
    """Return real spherical harmonics up to degree 2 of unit directions (Ramamoorthi & Hanrahan 2001, eq. 3)."""
    x, y, z = d.unbind(-1)
    one = torch.ones_like(x)
    return torch.stack(
        [0.28209479 * one, 0.48860251 * y, 0.48860251 * z, 0.48860251 * x, 1.09254843 * x * y, 1.09254843 * y * z,
         0.31539157 * (3 * z * z - 1), 1.09254843 * x * z, 0.54627422 * (x * x - y * y)],
        dim=-1,
    )  # fmt: skip


class RadianceField(nn.Module):
    """Density [1/m] and colour in [0, 1] of world points seen from a direction."""

    def __init__(self, config: FieldConfig, box: SceneBox, workers: Workers, seed: int) -> None:
        super().__init__()
        self.box = box
        layout = GridLayout(
            config.levels, config.features, config.log2_table, config.min_resolution, config.max_resolution
        )
        there = place(config)
        self.grid = make_grid(layout, there.backend, seed, workers, there.device)
        width = config.hidden
        self.density_net = nn.Sequential(
            nn.Linear(layout.width, width), nn.ReLU(inplace=True), nn.Linear(width, 1 + GEOMETRY_FEATURES)
        )
        self.geometry_in = nn.Linear(1 + GEOMETRY_FEATURES, width)
        self.direction_in = nn.Linear(DIRECTION_FEATURES, width, bias=False)
        self.colour_net = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(width, width), nn.ReLU(inplace=True),
                                        nn.Linear(width, 3))  # fmt: skip
        self.to(there.device)

    def density_features(self, points: Float[Tensor, "N 3"]) -> tuple[Float[Tensor, " N"], Float[Tensor, "N G"]]:
        """Return density and the features the colour is computed from."""
        return self.unit_density(self.box.contract(points))

    def unit_density(self, unit: Float[Tensor, "N 3"]) -> tuple[Float[Tensor, " N"], Float[Tensor, "N G"]]:
        """As `density_features`, of points already contracted to the unit cube."""
        hidden = _mixed(self.density_net, self.grid(unit))
        # exp is Instant-NGP's density activation; the clamp keeps a step from overflowing.
        return torch.exp(hidden[:, 0].clamp(-10.0, 10.0) - 1.0), hidden

    def forward(
        self, points: Float[Tensor, "B S 3"], directions: Float[Tensor, "B 3"]
    ) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B S 3"]]:
        """Return density and colour of the samples of each ray."""
        rays, samples, _ = points.shape
        density, features = self.density_features(points.reshape(-1, 3))
        # The direction's share of the first layer is computed once a ray, not once a sample.
        hidden = _mixed(self.geometry_in, features).view(rays, samples, -1) + self.direction_in(
            spherical_harmonics(directions)
        ).unsqueeze(1)
        return density.view(rays, samples), torch.sigmoid(_mixed(self.colour_net, hidden))


def language_layouts(config: FieldConfig) -> tuple[GridLayout, ...]:
    """Return the layout of the language grid, or of the coarse and the fine one (LERF's code: 16-128 and 128-512)."""
    low, middle, high = config.min_resolution, config.language_split_resolution, config.language_max_resolution
    spans = ((low, high),) if config.language_grids == 1 else ((low, middle), (middle, high))
    return tuple(
        GridLayout(config.language_levels, config.language_features, config.language_log2_table, first, last)
        for first, last in spans
    )


class LanguageField(nn.Module):
    """F_lang(x, s): unit CLIP vector of a world point at a physical scale (metres)."""

    def __init__(self, config: FieldConfig, box: SceneBox, embed_dim: int, workers: Workers, seed: int) -> None:
        super().__init__()
        self.box = box
        self.embed_dim = embed_dim
        coarse, *fine = language_layouts(config)
        there = place(config)
        self.grid = make_grid(coarse, there.backend, seed, workers, there.device)
        self.fine_grid = make_grid(fine[0], there.backend, seed + 1, workers, there.device) if fine else None
        self.width = coarse.width + sum(layout.width for layout in fine)
        layers: list[nn.Module] = []
        width = self.width + 1
        for _ in range(config.language_layers):
            layers += [nn.Linear(width, config.language_hidden), nn.ReLU(inplace=True)]
            width = config.language_hidden
        self.net = nn.Sequential(*layers, nn.Linear(width, embed_dim))
        self.to(there.device)

    def encode(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N F"]:
        """Return the scale-free features of world points; positions are detached (LERF section 3.1)."""
        unit = self.box.contract(points.detach())
        coarse: Tensor = self.grid(unit)
        return coarse if self.fine_grid is None else torch.cat([coarse, self.fine_grid(unit)], dim=-1)

    @property
    def grids(self) -> tuple[HashGrid, ...]:
        """The hash grids, coarse first."""
        return (self.grid,) if self.fine_grid is None else (self.grid, self.fine_grid)

    def head(self, features: Float[Tensor, "N F"], scale_m: Float[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Return the unit embedding of features at a physical scale."""
        inputs = torch.cat([features, (scale_m / self.box.half_m)[:, None]], dim=-1)
        return functional.normalize(_fast(self.net, inputs), dim=-1)

    def forward(self, points: Float[Tensor, "N 3"], scale_m: Float[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Return the unit embedding of world points at a physical scale (m)."""
        return self.head(self.encode(points), scale_m)


class PatchHead(nn.Module):
    """F_dino(x): the regulariser's patch features, from the language field's own; no scale, not normalised.

    It exists only while training: what it teaches is in the hash grid (LERF section 3.3 and its code).
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, PATCH_HIDDEN), nn.ReLU(inplace=True), nn.Linear(PATCH_HIDDEN, dim))

    def forward(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N P"]:
        """Return the patch features of scale-free language features."""
        return _fast(self.net, features)


def _fast(net: nn.Module, inputs: Float[Tensor, "*B F"]) -> Float[Tensor, "*B D"]:
    """Return what a network makes of its inputs, in bfloat16 where the device is fast at it."""
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=fast_bfloat16(inputs.device)):
        out: Tensor = net(inputs)
    return out.float()


def _mixed(net: nn.Module, inputs: Float[Tensor, "*B F"]) -> Float[Tensor, "*B D"]:
    """As `_fast` on a GPU; as it is on a CPU, where networks this small gain nothing."""
    out: Tensor = net(inputs) if inputs.device.type == "cpu" else _fast(net, inputs)
    return out
