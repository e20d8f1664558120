# SPDX-License-Identifier: Apache-2.0
"""The soak test's arithmetic on numbers made up by hand, and (slow) the whole of it for a few seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.soak_stream import ROOT, _report


def test_what_was_sent_and_not_received_is_lost() -> None:
    sent = {"image": 100, "depth": 100, "camera_info": 100, "/tf": 300, "seconds": 3.4, "late_ms": 7}
    callbacks = {
        "image": [1.0] * 92 + [30.0] * 6,
        "depth": [2.0] * 100,
        "camera_info": [0.1] * 100,
        "/tf": [0.1] * 300,
        "pose": [9.0],
    }
    samples = [{"at_s": float(n), "query_ms": 10.0 + n, "rss_mb": 500.0 + max(0, n - 5)} for n in range(11)]
    report = _report(sent, callbacks, samples)
    assert report["lost"] == {"image": 2, "depth": 0, "camera_info": 0, "/tf": 0}
    assert report["callbacks_ms"] == {  # the many quick /tf do not hide an image that took long
        "image": {"p50": 1.0, "p95": 30.0, "p99": 30.0, "max": 30.0},
        "depth": {"p50": 2.0, "p95": 2.0, "p99": 2.0, "max": 2.0},
        "camera_info": {"p50": 0.1, "p95": 0.1, "p99": 0.1, "max": 0.1},
        "/tf": {"p50": 0.1, "p95": 0.1, "p99": 0.1, "max": 0.1},
    }
    assert report["callback_worst"] == "image"
    assert report["callback_ms"] == {"p50": 1.0, "p95": 30.0, "p99": 30.0, "max": 30.0}
    assert report["query_ms"]["max"] == 20.0  # type: ignore[index]
    assert report["rss_mb"] == {"first": 500.0, "half": 500.0, "last": 505.0, "max": 505.0}
    assert report["rss_slope_mb_per_min"] == pytest.approx(60.0)


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_a_few_seconds_of_it_lose_nothing(tmp_path: Path, reliability: str) -> None:
    command = [sys.executable, "-m", "bench.soak_stream", "--seconds", "8", "--out", str(tmp_path)]
    done = subprocess.run(
        [*command, "--reliability", reliability], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "soak.json").read_text())
    assert report["sent"]["image"] > 200
    assert report["lost"] == dict.fromkeys(report["sent"], 0)
    assert report["frames_received"] == report["sent"]["image"]
    assert report["callback_ms"]["p95"] < 5.0
