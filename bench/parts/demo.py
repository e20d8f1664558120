# SPDX-License-Identifier: Apache-2.0
"""`python -m lerf_ros demo` for a few scenes: what a newcomer waits for."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.context import Context
from bench.rows import Row, measured
from bench.targets import TARGETS

LIMIT_S: Final = 600.0
STOP_S: Final = 60.0
QUICK_SEEDS: Final = 0
"""Demonstrations of a quick run: it starts none."""


def run(context: Context) -> Iterator[Row]:
    """Run the demonstration for each seed, and read its reports."""
    seeds = context.options.seeds if not context.quick else context.options.seeds[:QUICK_SEEDS]
    reports = [_demonstrate(seed, context.folder / f"demo_{seed}") for seed in seeds]
    if not reports:
        return
    yield from rows(reports, context.threads)


def rows(reports: list[dict[str, Any]], threads: int) -> Iterator[Row]:
    """Return what reports of demonstrations say; a first right answer that never came is infinitely late."""
    seeds = ", ".join(str(report["seed"]) for report in reports)
    firsts = [report["first_image_to_first_correct_answer_s"] for report in reports]
    first = [float("inf") if each is None else float(each) for each in firsts]
    each = ", ".join("never" if s is None else f"{s:.1f}" for s in firsts)
    yield measured("first_correct_answer_s", first, "s", threads, target=TARGETS["first_correct_answer_s"],
                   note=f"seeds {seeds}: {each}")  # fmt: skip
    walls = [float(report["process_s"]) for report in reports]
    each = ", ".join(f"{s:.0f}" for s in walls)
    yield measured("demo_wall_s", walls, "s", threads, target=TARGETS["demo_wall_s"],
                   note=f"seeds {seeds}: {each}; without make's check of the environment")  # fmt: skip
    for name, key, unit in (
        ("demo_query_p50_ms", "query_ms_p50", "ms"),
        ("demo_query_p95_ms", "query_ms_p95", "ms"),
        ("demo_node_peak_rss_mb", "node_peak_rss_mb", "MB"),
    ):
        yield measured(name, [float(report[key]) for report in reports], unit, threads)
    passed = sum(bool(report["passed"]) for report in reports)
    yield Row("demo_passed_share", passed / len(reports), "share", threads, n=len(reports), better="higher")


def _demonstrate(seed: int, out: Path) -> dict[str, Any]:
    """Run one; exit code 1 is a story that did not end well, which its report tells.

    Raises:
        RuntimeError: it left no report.
    """
    out.mkdir(parents=True, exist_ok=True)
    report = out / "report.json"
    report.unlink(missing_ok=True)
    begin = time.monotonic()
    with (out / "demo.log").open("wb") as log:
        demo = subprocess.Popen([sys.executable, "-m", "lerf_ros", "demo", "--seed", str(seed), "--out", str(out)],
                                stdout=log, stderr=subprocess.STDOUT)  # fmt: skip
        try:
            demo.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            demo.send_signal(signal.SIGINT)  # it stops the robot and the node that it started
            demo.wait(STOP_S)
    spent = time.monotonic() - begin
    if not report.is_file():
        raise RuntimeError(f"the demonstration of seed {seed} left no report; see {out / 'demo.log'}")
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found | {"process_s": spent}
