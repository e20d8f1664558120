# SPDX-License-Identifier: Apache-2.0
"""What the machine can do: memory bandwidth, random look-ups, FLOP/s. Everything else is told as a share of these."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, no_type_check

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numba import njit

from bench.context import Context
from bench.rows import Row, measured
from bench.timing import seconds
from lerf_ros.core.hashgrid.workers import Workers

TRIAD_MB: Final = 256
"""Of each of three arrays: far beyond any cache."""

GATHER_ROWS: Final = 1 << 23
"""Rows of 8 bytes to look up: 64 MiB, what sixteen levels of 2^19 rows of two floats take."""

GEMM: Final = 2048
REPEATS: Final = 5
LIBRARIES: Final = ("torch", "numba", "numpy", "open_clip_torch", "matplotlib", "mujoco", "ros-jazzy-rclpy")


def run(context: Context) -> Iterator[Row]:
    """Measure the limits at one thread and at all, and write `machine.json`."""
    found: dict[str, Any] = _describe()
    for threads in sorted({1, context.threads}):
        for name, unit, once in _limits(threads, context.quick):
            row = measured(f"{name}_{threads}t", _rates(once), unit, threads, better="higher")
            found.setdefault(name, {})[str(threads)] = row.value
            yield row
    (context.folder / "machine.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _rates(once: Callable[[], float]) -> list[float]:
    once()
    return [once() for _ in range(REPEATS)]


def _limits(threads: int, quick: bool) -> Iterator[tuple[str, str, Callable[[], float]]]:
    """Yield name, unit, and a function that returns the rate once measured."""
    yield "triad_gb_per_s", "GB/s", _triad(threads, TRIAD_MB // (32 if quick else 1))
    yield "gather_rows_per_us", "rows/us", _gather(threads, GATHER_ROWS // (32 if quick else 1))
    side = GEMM // (8 if quick else 1)
    yield "sgemm_gflop_per_s", "GFLOP/s", _gemm(threads, side, torch.float32)
    yield "bf16_gemm_gflop_per_s", "GFLOP/s", _gemm(threads, side, torch.bfloat16)


def _triad(threads: int, megabytes: int) -> Callable[[], float]:
    """STREAM's triad a = b + s c; counts the bytes it names (two read, one written), as STREAM does."""
    count = megabytes * 2**20 // 8
    a, b, c = np.zeros(count), np.ones(count), np.full(count, 2.0)
    workers = Workers(threads)

    def once() -> float:
        spans = [(a[s], b[s], c[s], 3.0) for s in workers.spans(count)]
        return 24 * count / seconds(lambda: workers.run(_add_scaled, spans)) / 1e9

    return once


def _gather(threads: int, rows: int) -> Callable[[], float]:
    """Look up rows of two floats at random places, as many at once as the processor can keep in flight."""
    rng = np.random.default_rng(0)
    table = rng.random((rows, 2), np.float32)
    index = rng.integers(0, rows, rows)
    workers = Workers(threads)
    sums = np.zeros((threads, 16), np.float32)

    def once() -> float:
        spans = [(table, index[s], sums[k]) for k, s in enumerate(workers.spans(rows))]
        return rows / seconds(lambda: workers.run(_sum_rows, spans)) / 1e6

    return once


def _gemm(threads: int, side: int, kind: torch.dtype) -> Callable[[], float]:
    a, b = torch.randn(side, side).to(kind), torch.randn(side, side).to(kind)

    def once() -> float:
        torch.set_num_threads(threads)
        return 2 * side**3 / seconds(lambda: a @ b) / 1e9

    return once


@njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _add_scaled(a: np.ndarray, b: np.ndarray, c: np.ndarray, factor: float) -> None:
    for i in range(len(a)):
        a[i] = b[i] + factor * c[i]


@njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _sum_rows(
    table: Float32[np.ndarray, "R 2"], index: Int64[np.ndarray, " N"], out: Float32[np.ndarray, " 16"]
) -> None:
    first, second = np.float32(0), np.float32(0)
    for i in range(len(index)):
        first += table[index[i], 0]
        second += table[index[i], 1]
    out[0], out[1] = first, second


def _describe() -> dict[str, Any]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
