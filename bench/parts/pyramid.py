# SPDX-License-Identifier: Apache-2.0
"""Embedding an image's tiles: ours, in batches from shared resizing, against one tile after another."""

from collections.abc import Iterator

import cv2
import numpy as np
import torch

from bench.context import Context
from bench.rows import Row, against, measured
from bench.scene import VGA, scene_config, views
from bench.timing import interleave, seconds
from lerf_ros.config import PyramidConfig
from lerf_ros.core.encoders import ImageTextEncoder, load_encoder
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.pyramid import build_pyramid, tile_grid


def run(context: Context) -> Iterator[Row]:
    """Measure tiles a second, at all threads and at one, and the time of a whole image."""
    config = scene_config(context.changes)
    encoder = load_encoder(config.encoder)
    camera = VGA if not context.quick else VGA.scaled(160, 120)
    image = views(1, camera)[0]
    tiles = tile_grid(camera.width, camera.height, config.pyramid).tiles
    for threads in sorted({1, context.threads}, reverse=True):
        torch.set_num_threads(threads)
        times = interleave(
            {
                "ours": lambda: seconds(lambda: build_pyramid(encoder, image.rgb, config.pyramid)),
                "naive": lambda: seconds(lambda: naive(encoder, image, config.pyramid)),
            },
            context.size(3, 1),
        )
        suffix = "" if threads == context.threads else f"_{threads}t"
        ours, loop = ([tiles / t for t in times[side]] for side in ("ours", "naive"))
        row = measured(f"pyramid_crops_per_s{suffix}", ours, "crops/s", threads, better="higher",
                       note=f"{tiles} tiles of a {camera.width} x {camera.height} image, {encoder.name}")  # fmt: skip
        yield against(row, loop, "crop by crop, same encoder")
        yield measured(f"pyramid_ms{suffix}", [1e3 * t for t in times["ours"]], "ms", threads, note="one image")


def naive(encoder: ImageTextEncoder, image: PosedImage, config: PyramidConfig) -> np.ndarray:
    """Cut, resize and embed one tile after another: the loop that the paper's method reads as."""
    grid, side, out = tile_grid(image.rgb.shape[1], image.rgb.shape[0], config), encoder.image_size, []
    for level in range(grid.levels):
        tile = int(grid.tile_px[level])
        how = cv2.INTER_AREA if side < tile else cv2.INTER_CUBIC
        for j in range(int(grid.ny[level])):
            for i in range(int(grid.nx[level])):
                x, y = np.round(grid.first_px[level] - (tile - 1) / 2 + grid.stride_px[level] * (i, j)).astype(int)
                crop = cv2.resize(image.rgb[y : y + tile, x : x + tile], (side, side), interpolation=how)
                out.append(encoder.encode_images(np.asarray(crop, np.uint8)[None])[0])
    return np.stack(out)
