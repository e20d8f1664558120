# SPDX-License-Identifier: Apache-2.0
"""A map whose every embedding is known: things on a table, each pointing along an axis of its own."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from analytic import Box, Cylinder, Sphere, render, ring

from lerf_ros.config import Config, SurfaceConfig, from_flat
from lerf_ros.core.calibration import Calibration
from lerf_ros.core.snapshot import FieldSnapshot, LanguageCache
from lerf_ros.core.surface import SurfaceBuilder, SurfaceMap

DIM = 8
BALL = Sphere((0.0, 0.0, 0.03), 0.03, (200, 30, 30))
CRATE = Box((0.14, 0.02, 0.03), (0.04, 0.08, 0.06), 0.4, (30, 30, 200))
POST = Cylinder((-0.12, 0.08, 0.05), 0.025, 0.10, (30, 160, 30))
SECOND_BALL = Sphere((-0.02, -0.16, 0.03), 0.03, (200, 30, 30))
CONFIG = from_flat({"workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3)})
VIEWS = 10
NEUTRAL = 6
"""Axis of the canonical phrases. Axis 7 is that of nothing in the scene."""


def axis(index: int) -> np.ndarray:
    """Return a unit vector."""
    return np.eye(DIM, dtype=np.float32)[index]


def blend(index: int, share: float, other: int = 5) -> np.ndarray:
    """Return the unit vector whose cosine to an axis is `share`."""
    return np.asarray(share * axis(index) + np.sqrt(1 - share**2) * axis(other), np.float32)


AXES = {"ball": 0, "crate": 1, "post": 2, "table": 3, "lid": 4}


class KnownEncoder:
    """Embeds the phrases it was told, and any other along the axis of nothing."""

    def __init__(self, extra: Mapping[str, np.ndarray] | None = None, sha256: str = "k" * 64) -> None:
        self.name, self.sha256, self.embed_dim, self.image_size = "known", sha256, DIM, 8
        self.calibration = Calibration()
        self._known = {phrase: axis(k) for phrase, k in AXES.items()}
        self._known |= {phrase: axis(NEUTRAL) for phrase in ("object", "things", "stuff", "texture")}
        self._known |= extra or {}

    def encode_texts(self, phrases: Sequence[str]) -> np.ndarray:
        return np.stack([self._known.get(p, axis(7)) for p in phrases]).astype(np.float32)

    def encode_images(self, crops: np.ndarray) -> np.ndarray:
        return np.tile(axis(5), (len(crops), 1))


def surface_of(solids: Sequence[Sphere | Box | Cylinder], views: int = VIEWS, config: Config = CONFIG) -> SurfaceMap:
    """Return the fused surface of solids on the table, seen from a ring of cameras."""
    builder = SurfaceBuilder(SurfaceConfig(), config.workspace)
    for k, pose in enumerate(ring(views)):
        image = render(solids, pose, stamp_ns=(k + 1) * 10**9)
        assert image.depth_m is not None
        builder.add(image, image.depth_m)
    return builder.build()


def nearest_solid(surface: SurfaceMap, solids: Sequence[Sphere | Box | Cylinder]) -> np.ndarray:
    """Return the index of the solid each point has the colour of, -1 for the table."""
    colours = np.array([s.colour for s in solids], float)
    distance = np.abs(surface.colours[:, None].astype(float) - colours).sum(axis=-1)
    return np.where(distance.min(axis=1) < 60, distance.argmin(axis=1), -1)


def snapshot_of(
    solids: Sequence[Sphere | Box | Cylinder], axes: Sequence[int], step: int = 1000, keyframes: int = VIEWS
) -> FieldSnapshot:
    """Return a map where points of solid k point along `axes[k]`, the table along its own.

    At the first of two scales everything is neutral: the second one must be chosen.
    """
    surface = surface_of(solids)
    which = nearest_solid(surface, solids)
    rows = np.array([*axes, AXES["table"]])[which]
    sharp = np.eye(DIM, dtype=np.float32)[rows]
    blurred = np.tile(axis(NEUTRAL), (len(surface), 1))
    cache = LanguageCache(np.array([0.05, 0.1], np.float32), torch.from_numpy(np.stack([blurred, sharp])))
    return FieldSnapshot(step, VIEWS * 10**9, "base_link", keyframes, surface, cache, "known", "k" * 64,
                         {"grid": np.arange(6, dtype=np.float32).reshape(2, 3)})
