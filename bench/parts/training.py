# SPDX-License-Identifier: Apache-2.0
"""Whole training steps: ours against nerfacto's, on the same images with as many rays and samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch

from bench.captures import write_capture
from bench.context import Context
from bench.mapped import prepared, trained
from bench.peer import Peer
from bench.rows import Point, Row, against, measured
from bench.scene import scene_config, views
from bench.targets import TARGETS
from bench.timing import Timed, interleave, repeated, seconds
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.encoders import ImageTextEncoder, load_encoder
from lerf_ros.core.field import LanguageField
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.keyframes import Keyframe, PosedImage
from lerf_ros.core.mapper import LerfMapper

VIEWS: Final = 40
WARM_UP: Final = 60
"""Steps of ours before the clock: kernels are compiled, and rays end somewhere."""

CASES: Final = ((4096, 48), (1024, 48), (4096, 16), (1024, 16))
"""Rays and samples a ray; ours takes 1024 x 16 by default, nerfacto 4096 x 48."""

CURVE: Final = (256, 1024, 4096, 8192)
OURS_STEPS: Final = 10
PEER_STEPS: Final = 5
"""In a turn: in its late state nerfacto trains its proposal networks every fifth step."""

PEER_NAME: Final = "nerfacto (torch)"


@dataclass(frozen=True)
class _Kind:
    """What a step of ours trains."""

    name: str
    label: str
    keyframes: list[Keyframe]
    encoder: ImageTextEncoder | None


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
    kinds = (
        _Kind("colour", "colour", _keyframes(context, blind, None), None),
        _Kind("full", "colour, depth, language", _keyframes(context, images[: context.size(8, 2)], encoder), encoder),
    )
    for rays in CURVE[: context.size(len(CURVE), 1)]:
        for kind in kinds:
            yield _ours_over_rays(context, kind, context.size(rays, 64))
    yield from _language_network(context, encoder)


def _against_peer(
    context: Context, images: list[PosedImage], file: Path, scale: float, rays: int, samples: int
) -> Row:
    given = _keyframes(context, images, None)
    mapper = _mapper(context, given, None, {"train.rays": rays, "train.samples": samples})
    sides: dict[str, Timed] = {"ours": _ours(mapper, rays, context.size(OURS_STEPS, 1))}
    if context.peer is not None:
        sides["peer"] = _theirs(context.peer, file, scale, context, rays, samples)
    times = interleave(sides, context.size(3, 1))
    mapper.close()
    default = (rays, samples) == CASES[0]
    name = "train_rays_per_s" if default else f"train_rays_per_s_{rays}x{samples}"
    row = measured(name, times["ours"], "rays/s", context.threads, better="higher", target=TARGETS.get(name),
                   note=f"{rays} rays x {samples} samples, colour alone")  # fmt: skip
    return against(row, times.get("peer", []), PEER_NAME)


def _ours_over_rays(context: Context, kind: _Kind, rays: int) -> Row:
    mapper = _mapper(context, kind.keyframes, kind.encoder, {"train.rays": rays})
    once = _ours(mapper, rays, context.size(OURS_STEPS, 1))
    times = [1e3 * rays / once() for _ in range(context.size(5, 1))]
    mapper.close()
    point = Point("train_step", f"ours: {kind.label}", rays)
    note = f"{kind.label}; {scene_config().train.samples} samples"
    return measured(f"train_step_ms_{rays}_{kind.name}", times, "ms", context.threads, note=note, point=point)


def _language_network(context: Context, encoder: ImageTextEncoder) -> Iterator[Row]:
    """The network from hash features to embeddings, forward and backward, as a step runs it."""
    torch.set_num_threads(context.threads)
    config, workers = scene_config(), Workers(context.threads)
    field = LanguageField(config.field, SceneBox.of(config.workspace), encoder.embed_dim, workers, 0)
    rows = context.size(config.train.language_rays, 64)
    features, scale = torch.randn(rows, field.width), torch.rand(rows)
    gradient = torch.randn(rows, encoder.embed_dim)
    products = sum(m.in_features * m.out_features for m in field.modules() if isinstance(m, torch.nn.Linear))

    def both() -> None:
        field.head(features, scale).backward(gradient)

    times = repeated(both, context.size(20, 2), 2.0)[1:]
    workers.close()
    work, limit = 6 * rows * products, context.limit("bf16_gemm_gflop_per_s", context.threads)
    yield measured("mlp_language_fwd_bwd", [1e3 * t for t in times], "ms", context.threads,
                   roofline=None if limit is None else work / float(np.median(times)) / 1e9 / limit,
                   note=f"{rows} rows, {work / 1e9:.2f} GFLOP; roofline: bfloat16 matrix products")  # fmt: skip


def _keyframes(context: Context, images: list[PosedImage], encoder: ImageTextEncoder | None) -> list[Keyframe]:
    """Return the images as a mapper prepares them."""
    return prepared(scene_config(context.changes), images, encoder, context.threads)


def _mapper(
    context: Context, keyframes: list[Keyframe], encoder: ImageTextEncoder | None, changes: dict[str, object]
) -> LerfMapper:
    """Return a mapper that has taken its first steps."""
    config = scene_config({**context.changes, **changes})
    return trained(config, keyframes, encoder, context.threads, context.size(WARM_UP, 2))


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
