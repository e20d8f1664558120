# SPDX-License-Identifier: Apache-2.0
"""Step time over the number of keyframes, 10 to 1,000.

Every keyframe has images of its own in memory, but only some views are rendered and embedded; the others repeat their
pixels, poses and embeddings. All sizes take their steps in turn.
"""

import copy
import gc
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bench.context import Context
from bench.mapped import prepared, trained
from bench.rows import Point, Row, measured
from bench.scene import VGA, scene_config, views
from bench.targets import TARGETS
from bench.timing import Timed, interleave, seconds
from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder, load_encoder
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.mapper import LerfMapper

SIZES: Final = (10, 50, 100, 200, 500, 1000)
VIEWS: Final = 40
WARM_UP, STEPS, TURNS = 60, 5, 9
NOTE: Final = f"pixels, poses and embeddings of {VIEWS} views repeat"


def run(context: Context) -> Iterator[Row]:
    """Measure steps at every size, in turn, and the last against that at 50."""
    sizes = SIZES if not context.quick else (2, 4)
    encoder = load_encoder(Config().encoder)
    config = scene_config({**context.changes, "keyframes.max_count": max(sizes), "runtime.threads": context.threads})
    keyframes = _keyframes(context, config, encoder, max(sizes))
    warm_up = context.size(WARM_UP, 1)
    mappers = {size: trained(config, keyframes[:size], encoder, context.threads, warm_up) for size in sizes}
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
    rendered = views(min(context.size(VIEWS, 2), count), VGA if not context.quick else VGA.scaled(160, 120))
    made = prepared(config, rendered, encoder, context.threads)
    return [replace(copy.deepcopy(made[k % len(made)]), id=k) for k in range(count)]


def _steps(mapper: LerfMapper, count: int) -> Timed:
    def several() -> None:
        for _ in range(count):
            mapper.step()

    def once() -> float:
        mapper.step()  # finds the caches full of the other sizes' maps
        return 1e3 * seconds(several) / count

    return once
