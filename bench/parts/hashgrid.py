# SPDX-License-Identifier: Apache-2.0
"""Hash grid, forward and backward: ours (numba, and the slow torch twin) against nerfstudio's torch encoding."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch

from bench.context import Context
from bench.peer import Peer
from bench.rows import Point, Row, against, measured
from bench.targets import TARGETS
from bench.timing import seconds
from lerf_ros.core.hashgrid import GridLayout, HashGrid, make_grid
from lerf_ros.core.hashgrid.workers import Workers

POINTS: Final = 65_536
LEVELS, FEATURES, MIN_RESOLUTION, MAX_RESOLUTION = 16, 2, 16, 1024
LOG2_TABLES: Final = (19, 17)
PASSES: Final = ("fwd_bwd", "fwd", "bwd")
CURVE: Final = (4096, 16_384, 65_536, 262_144)
TURNS: Final = 4
IN_A_TURN: Final = {"ours": 5, "peer": 1}
"""Timed passes of a turn, after one that is not: it wakes the threads and finds the caches as in training."""

PEER_NAME: Final = "nerfstudio HashEncoding (torch)"
CORNERS, BYTES = 8, 4


@dataclass(frozen=True)
class Times:
    """Wall times of passes, seconds."""

    forward: list[float]
    backward: list[float]

    def of(self, what: str) -> list[float]:
        """Return the times (ms) of 'fwd', 'bwd', or both together."""
        if what == "fwd_bwd":
            return [1e3 * (a + b) for a, b in zip(self.forward, self.backward, strict=True)]
        return [1e3 * t for t in (self.forward if what == "fwd" else self.backward)]


def run(context: Context) -> Iterator[Row]:
    """Measure both table sizes at one thread and at all, then the curve over points at all threads."""
    for log2_table in LOG2_TABLES:
        for threads in sorted({1, context.threads}, reverse=True):
            layout = _layout(context.size(log2_table, 12))
            suffix = ("" if log2_table == LOG2_TABLES[0] else f"_2p{log2_table}") + _threads_name(context, threads)
            times = _compare(context, layout, context.size(POINTS, 256), threads)
            yield from _rows(context, suffix, layout, context.size(POINTS, 256), threads, times)
    yield _twin(context)
    for points in CURVE[: context.size(len(CURVE), 1)]:
        yield from _curve(context, context.size(points, 128))


def _rows(
    context: Context, suffix: str, layout: GridLayout, points: int, threads: int, times: dict[str, Times]
) -> Iterator[Row]:
    for what in PASSES:
        name = f"hashgrid_{what}{suffix}"
        row = measured(name, times["ours"].of(what), "ms", threads, target=TARGETS.get(name),
                       roofline=_share(context, layout, points, threads, what, times["ours"]),
                       note=f"{points} points, {layout.levels} levels, 2^{layout.log2_table} rows")  # fmt: skip
        yield against(row, times["peer"].of(what), PEER_NAME) if "peer" in times else row


def _curve(context: Context, points: int) -> Iterator[Row]:
    times = _compare(context, _layout(context.size(LOG2_TABLES[0], 12)), points, context.threads)
    for side, label in (("ours", "ours (numba)"), ("peer", PEER_NAME)):
        if side in times:
            rates = [points / t / 1e3 for t in times[side].of("fwd_bwd")]
            yield measured(f"hashgrid_points_per_s_{points}_{side}", [1e6 * r for r in rates], "points/s",
                           context.threads, better="higher", point=Point("hashgrid", label, points))  # fmt: skip


def _twin(context: Context) -> Row:
    """Our own slow reference, which shows what is numba's doing and what nerfstudio's."""
    layout, points = _layout(context.size(LOG2_TABLES[0], 12)), context.size(POINTS, 256)
    torch.set_num_threads(context.threads)
    once = _ours(make_grid(layout, "torch", 0, Workers(context.threads)), points)
    times = [1e3 * sum(once()) for _ in range(context.size(4, 2))][1:]
    return measured("hashgrid_fwd_bwd_torch", times, "ms", context.threads, note="our slow reference in torch")


def _layout(log2_table: int) -> GridLayout:
    return GridLayout(LEVELS, FEATURES, log2_table, MIN_RESOLUTION, MAX_RESOLUTION)


def _threads_name(context: Context, threads: int) -> str:
    return "" if threads == context.threads else f"_{threads}t"


def _compare(context: Context, layout: GridLayout, points: int, threads: int) -> dict[str, Times]:
    """Run ours and the peer in turn; one turn before is not counted."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    workers = Workers(threads)
    sides = {"ours": _ours(make_grid(layout, "numba", 0, workers), points)}
    if context.peer is not None:
        sides["peer"] = _theirs(context.peer, layout, points, threads)
    out: dict[str, Times] = {name: Times([], []) for name in sides}
    for turn in range(context.size(TURNS, 1) + 1):
        for name, once in sides.items():
            once()
            found = [once() for _ in range(IN_A_TURN[name])]
            if turn:
                out[name].forward.extend(forward for forward, _ in found)
                out[name].backward.extend(backward for _, backward in found)
    workers.close()
    return out


def _ours(grid: HashGrid, points: int) -> Callable[[], tuple[float, float]]:
    x, gradient = torch.rand(points, 3), torch.randn(points, grid.layout.width)

    def once() -> tuple[float, float]:
        encoded: list[torch.Tensor] = []
        forward = seconds(lambda: encoded.append(grid(x)))
        backward = seconds(lambda: encoded[0].backward(gradient))
        return forward, backward

    return once


def _theirs(peer: Peer, layout: GridLayout, points: int, threads: int) -> Callable[[], tuple[float, float]]:
    peer.call("hash_prepare", threads=threads, points=points, levels=layout.levels, features=layout.features,
              log2_table=layout.log2_table, min_resolution=layout.min_resolution,
              max_resolution=layout.max_resolution)  # fmt: skip

    def once() -> tuple[float, float]:
        forward, backward = peer.call("hash_once")
        return float(forward), float(backward)

    return once


def bytes_moved(layout: GridLayout, points: int, what: str) -> int:
    """Return the bytes that must move when nothing is found in a cache.

    Forward: eight rows a level and point, the points, the encoding written. Backward: the same rows read and written,
    the points, the gradient read.
    """
    rows = CORNERS * layout.levels * points * layout.features * BYTES
    streams = points * (3 + layout.width) * BYTES
    return {"fwd": rows + streams, "bwd": 2 * rows + streams, "fwd_bwd": 3 * rows + 2 * streams}[what]


def _share(
    context: Context, layout: GridLayout, points: int, threads: int, what: str, times: Times
) -> float | None:
    limit = context.limit("triad_gb_per_s", threads)
    if limit is None:
        return None
    typical = sorted(times.of(what))[len(times.forward) // 2]
    return bytes_moved(layout, points, what) / (typical / 1e3) / 1e9 / limit
