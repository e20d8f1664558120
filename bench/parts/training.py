# SPDX-License-Identifier: Apache-2.0
"""Whole training steps: ours against nerfacto's, on the same images with as many rays and samples."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from bench.captures import write_capture
from bench.context import Context
from bench.peer import Peer
from bench.rows import Point, Row, against, measured
from bench.scene import scene_config, views
from bench.targets import TARGETS
from bench.timing import Timed, interleave, seconds
from lerf_ros.core.encoders import ImageTextEncoder, load_encoder
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.mapper import LerfMapper

VIEWS: Final = 40
WARM_UP: Final = 60
"""Steps of ours before the clock: kernels are compiled, and rays end somewhere."""

CASES: Final = ((4096, 48), (1024, 48), (4096, 16), (1024, 16))
"""Rays and samples a ray; ours takes 1024 x 16 by default, nerfacto 4096 x 48."""

CURVE: Final = (256, 512, 1024, 2048, 4096, 8192)
OURS_STEPS: Final = 10
PEER_STEPS: Final = 5
"""In a turn: in its late state nerfacto trains its proposal networks every fifth step."""

PEER_NAME: Final = "nerfacto (torch)"


def run(context: Context) -> Iterator[Row]:
    """Measure colour alone against nerfacto, then our whole step with language, over the number of rays."""
    images = views(context.size(VIEWS, 4))
    blind = [_without_depth(image) for image in images]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "capture.npz"
        scale = write_capture(file, blind, scene_config().workspace)
        for rays, samples in CASES[: context.size(len(CASES), 1)]:
            yield _against_peer(context, blind, file, scale, context.size(rays, 64), context.size(samples, 8))
    if context.peer is not None:
        context.peer.call("nerfacto_forget")
    encoder = load_encoder(scene_config().encoder)
    for rays in CURVE[: context.size(len(CURVE), 1)]:
        yield from _ours_over_rays(context, blind, images, encoder, context.size(rays, 64))


def _against_peer(
    context: Context, images: list[PosedImage], file: Path, scale: float, rays: int, samples: int
) -> Row:
    mapper = _mapper(context, images, None, {"train.rays": rays, "train.samples": samples})
    sides: dict[str, Timed] = {"ours": _ours(mapper, rays, context.size(OURS_STEPS, 1))}
    if context.peer is not None:
        sides["peer"] = _theirs(context.peer, file, scale, context, rays, samples)
    times = interleave(sides, context.size(4, 1))
    mapper.close()
    default = (rays, samples) == CASES[0]
    name = "train_rays_per_s" if default else f"train_rays_per_s_{rays}x{samples}"
    row = measured(name, times["ours"], "rays/s", context.threads, better="higher", target=TARGETS.get(name),
                   note=f"{rays} rays x {samples} samples, colour alone")  # fmt: skip
    return against(row, times.get("peer", []), PEER_NAME)


def _ours_over_rays(
    context: Context, blind: list[PosedImage], images: list[PosedImage], encoder: ImageTextEncoder, rays: int
) -> Iterator[Row]:
    kinds = {"colour": (blind, None), "colour, depth, language": (images, encoder)}
    for label, (given, sees) in kinds.items():
        mapper = _mapper(context, given[: context.size(8, 2)], sees, {"train.rays": rays})
        once = _ours(mapper, rays, context.size(OURS_STEPS, 1))
        rates = [once() for _ in range(context.size(5, 1))]
        mapper.close()
        key = "full" if sees else "colour"
        yield measured(f"train_step_ms_{rays}_{key}", [1e3 * rays / rate for rate in rates], "ms", context.threads,
                       note=f"{label}; 16 samples", point=Point("train_step", f"ours: {label}", rays))  # fmt: skip


def _mapper(
    context: Context, images: list[PosedImage], encoder: ImageTextEncoder | None, changes: dict[str, object]
) -> LerfMapper:
    """Return a mapper that has seen the images and taken its first steps."""
    mapper = LerfMapper(scene_config({**context.changes, **changes}), encoder)
    mapper.set_threads(context.threads)
    for image in images:
        keyframe = mapper.prepare(image)
        assert keyframe is not None
        mapper.add(keyframe)
    for _ in range(context.size(WARM_UP, 2)):
        mapper.step()
    return mapper


def _ours(mapper: LerfMapper, rays: int, steps: int) -> Timed:
    def several() -> None:
        for _ in range(steps):
            mapper.step()

    return _rate(several, rays * steps)


def _theirs(peer: Peer, file: Path, scale: float, context: Context, rays: int, samples: int) -> Timed:
    near = scene_config().train.near_m / scale
    peer.call("nerfacto_load", file=str(file), threads=context.threads, rays=rays, samples=samples, near=near,
              refine_cameras=True, seed=0, steady=True)  # fmt: skip
    steps = context.size(PEER_STEPS, 1)

    def once() -> float:
        return rays * steps / float(peer.call("nerfacto_steps", count=steps))

    return once


def _rate(function: Callable[[], None], count: int) -> Timed:
    return lambda: count / seconds(function)


def _without_depth(image: PosedImage) -> PosedImage:
    return PosedImage(image.stamp_ns, np.ascontiguousarray(image.rgb), None, image.intrinsics, image.T_world_cam)
