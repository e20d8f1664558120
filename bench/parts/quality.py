# SPDX-License-Identifier: Apache-2.0
"""PSNR on held-out views of a real capture after a time: ours, and nerfacto's after as much and after more.

Two ways to render a held-out view, both told: at the pose as given and the mean appearance (plain; how nerfacto is
evaluated), and with each method's own corrections interpolated in time from the training images around it.
"""

import dataclasses
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from bench.captures import mean_psnr_db, thinned, write_capture
from bench.context import Context
from bench.peer import Peer
from bench.rows import Point, Row, unmeasured
from bench.targets import TARGETS
from lerf_ros.config import Config, from_flat
from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.data.bounds import capture_workspace
from lerf_ros.data.transforms_json import held_out_indices, read_capture

HOLD_OUT: Final = 8
STRIDE: Final = 3
"""Every third row and column of a held-out view is compared, the same of both: the peer renders for minutes."""

TIMES_S: Final = (30.0, 60.0, 120.0, 300.0, 600.0)
NO_CAPTURE: Final = "no capture: give --capture FOLDER or set LERF_BENCH_CAPTURE"
WAYS: Final = ("corrected", "plain")
VARIANTS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("nerfacto, 4096 rays", {"rays": 4096, "samples": 48, "refine_cameras": True}),
    ("nerfacto, 1024 rays", {"rays": 1024, "samples": 48, "refine_cameras": True}),
    ("nerfacto, 1024 rays, poses kept", {"rays": 1024, "samples": 48, "refine_cameras": False}),
)
"""The method's own settings, then what suits a CPU better: four times the steps, and poses as given."""


OURS: Final = (("ours", False), ("ours with language", True))


@dataclass(frozen=True)
class Views:
    """The capture without depth, split."""

    train: tuple[PosedImage, ...]
    held: tuple[PosedImage, ...]
    config: Config


Curve = dict[str, list[tuple[float, float]]]
"""Way of rendering -> (seconds of training, dB)."""


def run(context: Context) -> Iterator[Row]:
    """Train ours, colour alone and with language, then the peer's variants; compare at the times asked for."""
    if context.options.capture is None:
        yield unmeasured("psnr_120s", "dB", context.threads, NO_CAPTURE, better="higher", target=TARGETS["psnr_120s"])
        return
    views = _read(context.options.capture)
    ours: dict[str, Curve] = {}
    for label, language in OURS[: 1 if context.options.short_psnr else None]:
        ours[label] = _train_ours(context, views, language)
        yield from _points(context, label, ours[label])
    theirs: dict[str, Curve] = {}
    if context.peer is not None:
        few = context.quick or context.options.short_psnr
        for label, settings in VARIANTS[1:2] if few else VARIANTS:
            theirs[label] = _train_theirs(context, context.peer, views, settings)
            yield from _points(context, label, theirs[label])
    yield from _compare(context, ours, theirs)


def _read(folder: Path) -> Views:
    images = [frame.load(use_depth=False) for frame in read_capture(folder)]
    held = held_out_indices(len(images), HOLD_OUT)
    train = tuple(image for k, image in enumerate(images) if k not in held)
    base = from_flat({"keyframes.min_translation_m": 0.0, "keyframes.min_rotation_rad": 0.0,
                      "keyframes.max_count": max(len(train), 300)})  # fmt: skip
    return Views(train, tuple(images[k] for k in held), dataclasses.replace(base, workspace=capture_workspace(train)))


def _times(context: Context, last_s: float) -> list[float]:
    return [0.5] if context.quick else [*(t for t in TIMES_S if t < last_s), last_s]


def _train_ours(context: Context, views: Views, language: bool) -> Curve:
    """Embed (if language is wanted; it counts) and train, stopping the clock to render the held-out views."""
    mapper = LerfMapper(views.config, load_encoder(views.config.encoder) if language else None)
    mapper.set_threads(context.threads)
    begin = time.monotonic()
    for image in views.train:
        keyframe = mapper.prepare(image)
        assert keyframe is not None
        mapper.add(keyframe)
    spent, out = time.monotonic() - begin, Curve({way: [] for way in WAYS})
    truth = [thinned(image.rgb, STRIDE) for image in views.held]
    for until in _times(context, context.options.ours_s):
        begin = time.monotonic()
        while spent + time.monotonic() - begin < until or mapper.step_count == 0:
            mapper.step()
        spent += time.monotonic() - begin
        field = FieldView(mapper.weights(), views.config, threads=context.threads)
        for way in WAYS:
            shown = [thinned(field.render(image, corrected=way == "corrected").rgb, STRIDE) for image in views.held]
            out[way].append((spent, mean_psnr_db(shown, truth)))
    mapper.close()
    gc.collect()
    return out


def _train_theirs(context: Context, peer: Peer, views: Views, settings: dict[str, Any]) -> Curve:
    out, truth = Curve({way: [] for way in WAYS}), [thinned(image.rgb, STRIDE) for image in views.held]
    with TemporaryDirectory() as folder:
        train, held, shown = (Path(folder) / name for name in ("train.npz", "held.npz", "shown.npy"))
        scale = write_capture(train, views.train, views.config.workspace)
        write_capture(held, views.held, views.config.workspace)
        peer.call("nerfacto_load", file=str(train), threads=context.threads, near=views.config.train.near_m / scale,
                  seed=0, **settings)  # fmt: skip
        spent = 0.0
        for until in _times(context, context.options.peer_s):
            _, seconds = peer.call("nerfacto_train", seconds=until - spent)
            spent += seconds
            for way in WAYS:
                corrected = way == "corrected"
                peer.call("nerfacto_render", file=str(held), out=str(shown), corrected=corrected, stride=STRIDE)
                out[way].append((spent, mean_psnr_db(list(np.load(shown)), truth)))
        peer.call("nerfacto_forget")
    return out


def _points(context: Context, label: str, curve: Curve) -> Iterator[Row]:
    for way, found in curve.items():
        for spent, psnr in found:
            name = f"psnr_{way}_{round(spent)}s_{label.replace(', ', '_').replace(' ', '_')}"
            place = round(spent, -1) or spent  # one tick for both sides: neither stops at the very second
            yield Row(name, psnr, "dB", context.threads, better="higher", point=Point(f"psnr_{way}", label, place))


def _compare(context: Context, ours: dict[str, Curve], theirs: dict[str, Curve]) -> Iterator[Row]:
    """Ours at its last time against the best variant of the peer at its last time, and at ours."""
    for way in WAYS:
        for label, suffix in (("ours", ""), ("ours with language", "_with_language"))[: len(ours)]:
            spent, psnr = ours[label][way][-1]
            stem = f"psnr_{'' if way == 'corrected' else 'plain_'}{round(context.options.ours_s)}s{suffix}"
            row = Row(stem, psnr, "dB", context.threads, better="higher", target=TARGETS.get(stem), note=way)
            yield dataclasses.replace(row, **_best(theirs, way, float("inf")))
            if not suffix:
                equal = dataclasses.replace(row, name=f"{stem}_equal_time", target=None)
                yield dataclasses.replace(equal, **_best(theirs, way, 1.05 * spent))


def _best(theirs: dict[str, Curve], way: str, until_s: float) -> dict[str, Any]:
    """Return peer and peer_name: the best variant, each at its last time up to `until_s`."""
    last = {label: [point for point in curve[way] if point[0] <= until_s] for label, curve in theirs.items()}
    found = {label: points[-1] for label, points in last.items() if points}
    if not found:
        return {}
    label = max(found, key=lambda each: found[each][1])
    return {"peer": found[label][1], "peer_name": f"{label}, {found[label][0]:.0f} s"}
