# SPDX-License-Identifier: Apache-2.0
"""Pictures of the curves, from the rows alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.rows import Row
from bench.table import number


@dataclass(frozen=True)
class Look:
    """How a picture is labelled; `limits` are horizontal target lines."""

    title: str
    x: str
    y: str
    log_x: bool = True
    log_y: bool = True
    limits: tuple[tuple[str, float], ...] = ()


IDLE, TRAINING = ", idle", ", training"
QUERY_LIMITS: Final = (("target idle (100k points, 4 phrases)", 50.0), ("target while training", 100.0))
LOOKS: Final = {
    "hashgrid": Look("Hash grid: forward and backward, 16 levels x 2, 2^19 rows", "points a pass", "points/s"),
    "train_step": Look("Training step, 16 samples a ray", "rays a step", "ms"),
    "publish": Look("Publishing a snapshot", "surface points", "ms"),
    "cloud": Look("PointCloud2 of an answer", "points", "ms"),
    "query_p50": Look("Query, median", "surface points", "ms"),
    "query_p95": Look("Query, 95th percentile", "surface points", "ms", limits=QUERY_LIMITS),
    "query_p99": Look("Query, 99th percentile", "surface points", "ms"),
    "growth": Look("Training step over the number of keyframes", "keyframes", "ms", log_y=False),
    "memory": Look("Memory of the node, VGA RGB-D, bundled encoder", "keyframes", "MB", False, False,
                   (("target with 200 keyframes", 2500.0),)),
    "psnr_corrected": Look("Held-out views of a real capture, colour only, own corrections interpolated",
                           "seconds of training", "PSNR, dB", log_y=False),
    "psnr_plain": Look("Held-out views of a real capture, colour only, poses as given", "seconds of training",
                       "PSNR, dB", log_y=False),
}  # fmt: skip
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which colour-blind people tell apart."""

MARKERS: Final = "osD^vP*"
STYLE: Final[Any] = {  # matplotlib types its keys one by one
    "font.size": 10, "axes.titlesize": 12, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.alpha": 0.3, "legend.frameon": False, "lines.linewidth": 1.8, "lines.markersize": 5,
}  # fmt: skip


def draw_all(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write a PNG for every picture that at least two points of a curve belong to; return the files."""
    names = dict.fromkeys(row.point.figure for row in rows if row.point is not None and row.value is not None)
    out = []
    for name in names:
        curves = curves_of(rows, name)
        if any(len(points) > 1 for points in curves.values()):
            out.append(draw(LOOKS.get(name, Look(name, "size", "")), curves, folder / f"{name}.png"))
    return out


def curves_of(rows: Sequence[Row], figure: str) -> dict[str, list[tuple[float, float, float]]]:
    """Return the curves of a picture: x, value and spread of each point, by rising x."""
    out: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        if row.point is not None and row.point.figure == figure and row.value is not None:
            out.setdefault(row.point.series, []).append((row.point.x, row.value, row.spread or 0.0))
    return {series: sorted(points) for series, points in out.items()}


def family_of(series: str) -> str:
    """Return what curves of one colour share: all but whether the map was idle."""
    return series.removesuffix(IDLE).removesuffix(TRAINING)


def draw(look: Look, curves: dict[str, list[tuple[float, float, float]]], path: Path) -> Path:
    """Draw one picture: curves with their spread, targets dashed."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.6), dpi=130, layout="constrained")
        axes = figure.add_subplot()
        families = list(dict.fromkeys(family_of(series) for series in curves))
        for series, points in curves.items():
            x, y, spread = zip(*points, strict=True)
            bars = [min(s / 2, 0.95 * v) for s, v in zip(spread, y, strict=True)]  # a log axis has no place below 0
            k = families.index(family_of(series))
            colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
            line = ":" if series.endswith(IDLE) else "-"
            axes.errorbar(x, y, yerr=bars, label=series, color=colour, marker=marker, linestyle=line, capsize=2)
        for label, limit in look.limits:
            axes.axhline(limit, color="0.35", linestyle="--", linewidth=1.2)
            axes.annotate(f"{label}: {number(limit)}", (1, limit), xycoords=("axes fraction", "data"), fontsize=8,
                          ha="right", va="bottom", color="0.25")  # fmt: skip
        _finish(axes, look, sorted({x for points in curves.values() for x, _, _ in points}))
        figure.savefig(path)
    return path


def _finish(axes: Any, look: Look, xs: list[float]) -> None:
    if look.log_x:
        axes.set_xscale("log")
        axes.set_xticks(xs, [number(x) for x in xs])
        axes.minorticks_off()
    if look.log_y:
        axes.set_yscale("log")
    elif look.y != "PSNR, dB":
        axes.set_ylim(bottom=0)
    axes.set(title=look.title, xlabel=look.x, ylabel=look.y)
    axes.legend(fontsize=8)
