# SPDX-License-Identifier: Apache-2.0
"""Evaluation workers that map nothing: what they write is known, and they can be told to fail, die or wait."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lerf_ros.eval.configurations import configuration
from lerf_ros.eval.harness import Job, Plan
from lerf_ros.eval.records import Answered, Outcome, SceneRecord, record_path, write_whole

DEADLINE_S = 120.0


def record(scene: int, name: str, hit: bool = True, present: float = 0.9, absent: float = 0.2) -> SceneRecord:
    """One scene with one thing that is there and one that is not."""
    rules = configuration(name).rules
    error = 0.001 if hit else 0.4
    there = Outcome(present, present, "FOUND", (0.4, 0.0, 0.1), hit, error, 0.01, 0.5, (hit, True), (0.4, 0.6))
    gone = Outcome(absent, absent, "NOT_FOUND", (0.4, 0.0, 0.1))
    oracles = {"encoder": 1.0, "field": 1.0, "surface": 1.0, "segments": 0.0, "selection": float(hit), "coverage": 0.8}
    answered = (
        Answered("a red mug", "seen_pair", (0,), True, 0.05, dict.fromkeys(rules, there), oracles),
        Answered("a blue mug", "wrong_colour", (), False, 0.0, dict.fromkeys(rules, gone), {}),
    )
    return SceneRecord(scene, 5_000_000 + scene, name, 1, 30, 1000, "code", answered)


def fake_job(plan: Plan) -> Callable[[Job], Iterator[tuple[int, str]]]:
    """Write `record`s and a line of `ran.txt` for each.

    Beside the work folder: `fail_K` makes scene K fail, `die_K` kills its process, `hold_K` makes it wait until gone.
    """
    room = plan.work.parent

    def run(job: Job) -> Iterator[tuple[int, str]]:
        if (room / f"fail_{job.scene}").exists():
            raise ValueError("told to fail")
        if (room / f"die_{job.scene}").exists():
            os._exit(7)
        _wait_while_there(room / f"hold_{job.scene}", room / f"held_{job.scene}")
        for name in job.names:
            write_whole(record_path(plan.work, job.scene, name), record(job.scene, name).to_json())
            with (room / "ran.txt").open("a") as log:
                log.write(f"{job.scene} {name}\n")
            yield job.scene, name

    return run


def _wait_while_there(hold: Path, held: Path) -> None:
    end = time.monotonic() + DEADLINE_S
    while hold.exists() and time.monotonic() < end:
        held.write_text(str(os.getpid()))
        time.sleep(0.05)
