# SPDX-License-Identifier: Apache-2.0
"""Step time over the number of keyframes, 10 to 1,000.

Every keyframe has images of its own in memory, but only some views are rendered and embedded; the others repeat their
pixels, poses and embeddings. All sizes take their steps in turn.
"""

import gc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from bench.context import Context
from bench.rows import Point, Row, measured
from bench.scene import VGA, scene_config, views
from bench.targets import TARGETS
from bench.timing import Timed, interleave, seconds
from lerf_ros.config import Config
from lerf_ros.core.calibration import Calibration
from lerf_ros.core.encoders import ImageTextEncoder, load_encoder
from lerf_ros.core.keyframes import Keyframe, PosedImage
from lerf_ros.core.mapper import LerfMapper

SIZES: Final = (10, 50, 100, 200, 500, 1000)
VIEWS: Final = 40
WARM_UP, STEPS, TURNS = 60, 5, 9
NOTE: Final = f"pixels, poses and embeddings of {VIEWS} views repeat"


class RepeatingEncoder:
    """Embeds the first crops of each count truly, and gives the same again for every later batch of as many."""

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self._known: dict[int, Float32[np.ndarray, "N D"]] = {}
        self.name, self.sha256 = encoder.name, encoder.sha256
        self.embed_dim, self.image_size = encoder.embed_dim, encoder.image_size
        self.calibration: Calibration = encoder.calibration

    def encode_images(self, crops: UInt8[np.ndarray, "N H W 3"]) -> Float32[np.ndarray, "N D"]:
        """Return embeddings, remembered by the number of crops."""
        if len(crops) not in self._known:
            self._known[len(crops)] = self._encoder.encode_images(crops)
        return self._known[len(crops)].copy()

    def encode_texts(self, phrases: Sequence[str]) -> Float32[np.ndarray, "P D"]:
        """Return the unit embedding of each phrase."""
        return self._encoder.encode_texts(phrases)


def run(context: Context) -> Iterator[Row]:
    """Measure steps at every size, in turn, and the last against that at 50."""
    sizes = SIZES if not context.quick else (2, 4)
    encoder = RepeatingEncoder(load_encoder(Config().encoder))
    config = scene_config({**context.changes, "keyframes.max_count": max(sizes), "runtime.threads": context.threads})
    keyframes = _keyframes(context, config, encoder, max(sizes))
    mappers = {size: _mapper(context, config, encoder, keyframes[:size]) for size in sizes}
    sides = {str(size): _steps(mapper, context.size(STEPS, 1)) for size, mapper in mappers.items()}
    times = interleave(sides, context.size(TURNS, 2))
    for mapper in mappers.values():
        mapper.close()
    mappers.clear()
    gc.collect()
    for size in sizes:
        yield measured(f"step_ms_{size}_keyframes", times[str(size)], "ms", context.threads, note=NOTE,
                       point=Point("growth", "training step", size))  # fmt: skip
    few, many = times[str(sizes[1] if not context.quick else sizes[0])], times[str(sizes[-1])]
    name = "step_time_1000_over_50_keyframes"
    yield measured(name, [b / a for a, b in zip(few, many, strict=True)], "x", context.threads, target=TARGETS[name],
                   note=f"neighbouring turns; {NOTE}")  # fmt: skip


def _keyframes(context: Context, config: Config, encoder: ImageTextEncoder, count: int) -> list[Keyframe]:
    """Return keyframes as a mapper prepares them, each with memory of its own."""
    mapper = LerfMapper(config, encoder)
    rendered = views(min(context.size(VIEWS, 2), count), VGA if not context.quick else VGA.scaled(160, 120))
    out = []
    for k in range(count):
        keyframe = mapper.prepare(_copy(rendered[k % len(rendered)], k))
        assert keyframe is not None
        out.append(keyframe)
    mapper.close()
    return out


def _copy(image: PosedImage, k: int) -> PosedImage:
    assert image.depth_m is not None
    return replace(image, stamp_ns=image.stamp_ns + k, rgb=image.rgb.copy(), depth_m=image.depth_m.copy())


def _mapper(context: Context, config: Config, encoder: ImageTextEncoder, keyframes: list[Keyframe]) -> LerfMapper:
    mapper = LerfMapper(config, encoder)
    mapper.set_threads(context.threads)
    for keyframe in keyframes:
        mapper.add(keyframe)
    for _ in range(context.size(WARM_UP, 1)):
        mapper.step()
    return mapper


def _steps(mapper: LerfMapper, count: int) -> Timed:
    def several() -> None:
        for _ in range(count):
            mapper.step()

    return lambda: 1e3 * seconds(several) / count
