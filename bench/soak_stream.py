# SPDX-License-Identifier: Apache-2.0
"""Hours of a camera in minutes: 30 Hz VGA RGB-D and transforms from another process, a query each second, all counted.

python -m bench.soak_stream --seconds 600
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from bench.rows import percentile
from bench.scene import WORKSPACE
from lerf_ros.demo.processes import Process

if TYPE_CHECKING:
    from bench.ros_link import Link

ROOT = Path(__file__).resolve().parents[1]
PHRASES = ("a red ball", "a blue ball", "the table", "a green mug")
ASK_EVERY_S = 1.0
DRAIN_S = 3.0
STREAMS = ("image", "depth", "camera_info", "/tf")
FLAT_FROM = 0.5
"""Memory is judged over the second half: before, keyframes fill their budget."""


def main(
    seconds: Annotated[float, typer.Option(min=5.0, help="How long to publish")] = 600.0,
    rate: Annotated[float, typer.Option(min=1.0, max=120.0, help="Frames a second")] = 30.0,
    reliability: Annotated[str, typer.Option(help="Of the publishers: best_effort or reliable")] = "best_effort",
    keyframes: Annotated[int, typer.Option(min=2, help="keyframes.max_count of the node")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="runtime.threads of the node")] = os.cpu_count() or 1,
    out: Annotated[Path, typer.Option(help="Folder for soak.json and logs")] = Path("out/soak"),
) -> None:
    """Start the node and the camera, and report what was lost, and how long callbacks and answers took."""
    from bench.ros_link import linked

    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    out.mkdir(parents=True, exist_ok=True)
    parameters = {
        **WORKSPACE, "keyframes.max_count": keyframes, "runtime.threads": threads, "input.self_filter": "none",
    }  # fmt: skip
    with linked(out, parameters) as link:
        camera = _start_camera(out, rate, reliability)
        try:
            samples = _watch(link, camera, seconds)
        finally:
            camera.stop()
        link.spin(DRAIN_S)
        drops = dict(zip(link.status.drop_causes, map(int, link.status.drop_counts), strict=True))
        counted = {
            "frames_received": int(link.status.frames_received),
            "keyframes": int(link.status.keyframes),
            "steps": int(link.status.step),
        }
        callbacks_file = link.callbacks_file
    sent = json.loads((out / "sent.json").read_text(encoding="utf-8"))
    callbacks = json.loads(callbacks_file.read_text(encoding="utf-8"))
    report = {**_report(sent, callbacks, samples), **counted, "drops": drops, "rate_hz": rate,
              "reliability": reliability, "threads": threads, "samples": samples}  # fmt: skip
    (out / "soak.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    _show(report, out / "soak.json")


def _start_camera(out: Path, rate: float, reliability: str) -> Process:
    log = out / "camera.log"
    command = [sys.executable, "-m", "bench.soak_camera", str(out.resolve() / "sent.json"), "--rate", str(rate),
               "--reliability", reliability]  # fmt: skip
    with log.open("wb") as output:
        popen = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True)
    return Process("soak_camera", popen, log)


def _watch(link: "Link", camera: Process, seconds: float) -> list[dict[str, float]]:
    """Ask each second; return what was seen at each: time, answer's time, memory, keyframes."""
    from bench.ros_link import ANSWER_S

    def begun() -> bool:
        camera.check()
        return int(link.status.frames_received) > 0

    link.wait(begun, "the first frame", ANSWER_S)
    begin, samples = time.monotonic(), []
    while (at_s := time.monotonic() - begin) < seconds:
        camera.check()
        _, took_ms = link.ask(PHRASES)
        samples.append({"at_s": at_s, "query_ms": took_ms, "rss_mb": link.memory_mb(),
                        "keyframes": float(link.status.keyframes), "received": float(link.status.frames_received),
                        "map_latency_s": float(link.status.map_latency_s)})  # fmt: skip
        link.spin(max(begin + ASK_EVERY_S * len(samples) - time.monotonic(), 0.0))
    camera.popen.send_signal(signal.SIGINT)
    camera.popen.wait(10.0)
    return samples


def _report(
    sent: dict[str, float], callbacks: dict[str, list[float]], samples: list[dict[str, float]]
) -> dict[str, object]:
    """Return the numbers that matter; `callback_ms` is that of the stream whose p95 is the worst.

    Hundreds of small transforms do not make an image's callback faster: streams are never pooled.
    """
    received = {name: len(callbacks.get(name, ())) for name in STREAMS}
    took = {name: _spread(callbacks[name]) for name in STREAMS if received[name]}
    worst = max(took, key=lambda name: took[name]["p95"])
    asked = [sample["query_ms"] for sample in samples]
    late = [sample for sample in samples if sample["at_s"] >= FLAT_FROM * samples[-1]["at_s"]]
    at, rss = (np.array([sample[name] for sample in late]) for name in ("at_s", "rss_mb"))
    return {
        "seconds": sent["seconds"],
        "sent": {name: int(sent[name]) for name in STREAMS},
        "received": received,
        "lost": {name: int(sent[name]) - received[name] for name in STREAMS},
        "camera_late_ms": sent["late_ms"],
        "callbacks_ms": took,
        "callback_worst": worst,
        "callback_ms": took[worst],
        "query_ms": _spread(asked),
        "rss_mb": {
            "first": samples[0]["rss_mb"],
            "half": float(rss[0]),
            "last": float(rss[-1]),
            "max": float(rss.max()),
        },
        "rss_slope_mb_per_min": float(60 * np.polyfit(at, rss, 1)[0]) if len(at) > 1 else 0.0,
    }


def _spread(times_ms: list[float]) -> dict[str, float]:
    return {f"p{p}": percentile(times_ms, p) for p in (50, 95, 99)} | {"max": max(times_ms)}


def _show(report: dict[str, object], path: Path) -> None:
    table = Table(
        "what", "value", title=f"{report['seconds']:.0f} s at {report['rate_hz']:g} Hz, {report['reliability']}"
    )
    for name in ("sent", "lost", "camera_late_ms", "callback_ms", "query_ms", "rss_mb", "rss_slope_mb_per_min",
                 "frames_received", "keyframes", "steps", "drops"):  # fmt: skip
        value = report[name]
        text = ", ".join(f"{k} {v:.4g}" for k, v in value.items()) if isinstance(value, dict) else f"{value:.4g}"
        table.add_row(f"callback_ms ({report['callback_worst']})" if name == "callback_ms" else name, text)
    console = Console()
    console.print(table)
    console.print(str(path))


if __name__ == "__main__":
    typer.run(main)
