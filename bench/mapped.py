# SPDX-License-Identifier: Apache-2.0
"""Trained maps of the table whose surface has about as many points as one asks for."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import numpy as np

from bench.scene import VGA, scene_config, views
from lerf_ros.config import Config, from_flat
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import Keyframe, PosedImage
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.surface import SurfaceBuilder

VIEWS: Final = 12
LARGE: Final = Intrinsics(1600, 1200, 1400.0, 1400.0, 799.5, 599.5)
"""For more points than VGA images resolve."""

VGA_POINTS: Final = 200_000
STEPS: Final = 250
"""Enough that phrases are answered (query.min_steps)."""


def point_name(count: int) -> str:
    """Return 10k, 100k, 1M."""
    return f"{count // 1_000_000}M" if count >= 1_000_000 else f"{count // 1000}k"


@lru_cache(maxsize=2)
def images_for(points: int, count: int = VIEWS) -> tuple[PosedImage, ...]:
    """Return RGB-D views of the table, fine enough for so many points."""
    return tuple(views(count, VGA if points <= VGA_POINTS else LARGE))


def config_for(points: int, images: tuple[PosedImage, ...], changes: Mapping[str, object]) -> Config:
    """Return the defaults with changes, and the voxels that give the images' surface so many points (within 3 %).

    Found by halving: how many voxels a surface fills is known only when it has been fused.
    """
    low, high = 0.001, 0.05
    for _ in range(12):
        voxel = float(np.sqrt(low * high))
        config = scene_config({**changes, "surface.voxel_m": voxel, "surface.max_points": 5_000_000})
        count = _surface_points(config, images)
        if abs(count / points - 1) < 0.03:
            break
        low, high = (voxel, high) if count > points else (low, voxel)
    return from_flat({"surface.max_points": max(int(1.5 * points), 1000)}, config)


def mapper_for(
    config: Config, images: tuple[PosedImage, ...], encoder: ImageTextEncoder, threads: int, steps: int = STEPS
) -> LerfMapper:
    """Return a map of the images after so many steps."""
    keyframes = prepared(config, images, encoder, threads)
    assert len(keyframes) == len(images)
    return trained(config, keyframes, encoder, threads, steps)


def prepared(
    config: Config, images: Iterable[PosedImage], encoder: ImageTextEncoder | None, threads: int
) -> list[Keyframe]:
    """Return the images as a mapper prepares them; those too near to the last are left out."""
    mapper = LerfMapper(config, encoder)
    mapper.set_threads(threads)
    found = [mapper.prepare(image) for image in images]
    mapper.close()
    return [keyframe for keyframe in found if keyframe is not None]


def trained(
    config: Config, keyframes: Iterable[Keyframe], encoder: ImageTextEncoder | None, threads: int, steps: int
) -> LerfMapper:
    """Return a map of the keyframes after so many steps."""
    mapper = LerfMapper(config, encoder)
    mapper.set_threads(threads)
    for keyframe in keyframes:
        mapper.add(keyframe)
    for _ in range(steps):
        mapper.step()
    return mapper


def _surface_points(config: Config, images: tuple[PosedImage, ...]) -> int:
    builder = SurfaceBuilder(config.surface, config.workspace)
    for image in images:
        assert image.depth_m is not None
        builder.add(image, image.depth_m)
    return len(builder.build())
