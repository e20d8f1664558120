# SPDX-License-Identifier: Apache-2.0
"""The whole thing: simulated arm, node and demonstration as three processes over real DDS, judged by the truth."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TRIES = 2  # one scene on a busy machine may be mapped from too few views; a second run must then do
PHRASE_KEYS = {"phrase", "expected", "status", "probability", "error_m", "right"}


def demo(out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "lerf_ros", "demo", "--seed", "0", "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert json.loads(done.stdout) == report
    assert report["passed"] == (done.returncode == 0)
    return report


@pytest.mark.ros
@pytest.mark.usefixtures("ros_environment")
def test_the_arm_finds_six_things_rejects_what_is_not_there_and_lifts_one(tmp_path: Path) -> None:
    reports = []
    for attempt in range(TRIES):
        out = tmp_path / str(attempt)
        reports.append(demo(out))
        if reports[-1]["passed"]:
            break
    report = reports[-1]
    assert report["passed"], reports
    assert all(row.keys() >= PHRASE_KEYS for row in report["phrases"])
    found = [row for row in report["phrases"] if row["expected"] == "FOUND" and row["right"]]
    assert len(found) >= 6
    assert all(row["error_m"] <= 0.02 for row in found)
    rejected = {row["kind"] for row in report["phrases"] if row["expected"] == "NOT_FOUND" and row["right"]}
    assert rejected == {"wrong colour", "absent category", "unknown word"}
    assert any(row["lifted"] and row["held_m"] >= 0.08 for row in report["grasps"])
    assert report["first_image_to_first_correct_answer_s"] > 0
    assert report["query_ms_p50"] <= report["query_ms_p95"]
    for name in ("camera.png", "heat.png", "cloud.png", "grasp.png", "demo.png"):
        assert (out / name).stat().st_size > 10_000
    assert list((out / "clouds").glob("*.ply"))
