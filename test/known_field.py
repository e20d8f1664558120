# SPDX-License-Identifier: Apache-2.0
"""Weights of a field that is known everywhere: solid below z = 0, its language blending from left to right."""

from collections.abc import Sequence

import numpy as np
import torch

from lerf_ros.config import Config, from_flat
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.field import LanguageField, language_layouts
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.hashgrid import GridLayout
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.radiance import RadianceTrainer

SETTINGS = {
    "field.levels": 1, "field.features": 2, "field.log2_table": 12, "field.hidden": 8, "field.min_resolution": 16,
    "field.language_levels": 1, "field.language_features": 2, "field.language_log2_table": 12,
    "field.language_hidden": 16, "field.language_layers": 1, "field.backend": "numba",
}  # fmt: skip
PER_M = 1000.0
"""Log density falls from its most to its least within 2 / 100 m of the surface."""


def known_config(base: Config | None = None) -> Config:
    """Return a configuration whose grids have one dense level: what is linear in space they hold exactly."""
    return from_flat(SETTINGS, base)


def vertices(layout: GridLayout, box: SceneBox) -> torch.Tensor:
    """Return the world points of the vertices of a dense one-level grid, row by row (linear beyond the cube, too)."""
    side = np.arange(int(layout.resolution[0]))
    z, y, x = np.meshgrid(side, side, side, indexing="ij")
    unit = (np.stack([x, y, z], axis=-1).reshape(-1, 3) - 0.5) / float(layout.scale[0])
    return torch.from_numpy(((unit - 0.5) * 4 * box.half_m + box.centre).astype(np.float32))


def known_weights(
    config: Config, left: np.ndarray, right: np.ndarray, up: np.ndarray, camera: Intrinsics,
    poses: Sequence[np.ndarray],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return weights as `LerfMapper.weights` names them; all is grey, and `embedding` says what language is where."""
    radiance = RadianceTrainer(config, Workers(1))
    box, dim = radiance.box, len(left)
    language = LanguageField(config.field, box, dim, Workers(1), 0)
    layout = language_layouts(config.field)[0]
    points = vertices(layout, box)
    share = (points[:, 0] - float(box.centre[0])) / box.half_m
    with torch.no_grad():
        for parameter in (*radiance.field.parameters(), *language.parameters()):
            parameter.zero_()
        table = radiance.field.grid.table.view(-1, 2)
        table[:, 0], table[:, 1] = points[:, 2], -points[:, 2]
        first, _, last = radiance.field.density_net
        first.weight[:2, :2] = torch.eye(2)
        last.weight[0, 0], last.weight[0, 1] = -PER_M, PER_M
        table = language.grid.table.view(-1, 2)
        table[:, 0], table[:, 1] = (1 + share) / 2, (1 - share) / 2
        first, _, last = language.net
        first.weight[:3, :3] = torch.eye(3)
        last.weight[:, :3] = torch.from_numpy(np.stack([right, left, up], axis=1))
    values = radiance.density_grid.values
    top = int(np.ceil((0.5 - float(box.centre[2]) / box.half_m / 4) * values.shape[2]))
    values[:] = np.where(np.arange(values.shape[2]) <= top, 1e3, 1e-4)
    modules = {"radiance": radiance.field, "exposure": radiance.exposure, "refinement": radiance.refinement,
               "language": language}  # fmt: skip
    weights = {f"{n}.{k}": v.numpy().copy() for n, m in modules.items() if m for k, v in m.state_dict().items()}
    row = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    return weights | {
        "density_grid": values.copy(),
        "keyframes.stamp_ns": np.arange(len(poses), dtype=np.int64),
        "keyframes.slot": np.arange(len(poses), dtype=np.int64),
        "keyframes.T_world_cam": np.array(poses, np.float64),
        "keyframes.intrinsics": np.tile(np.array(row, np.float64), (len(poses), 1)),
    }


def embedding(
    points: np.ndarray, scale_m: float, box: SceneBox, left: np.ndarray, right: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """Return the unit embeddings of points inside the cube: left and right by where they lie, up by the scale."""
    share = ((points[:, :1] - box.centre[0]) / box.half_m + 1) / 2
    out = share * right + (1 - share) * left + scale_m / box.half_m * up
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True), np.float32)
