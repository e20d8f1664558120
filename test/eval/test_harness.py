# SPDX-License-Identifier: Apache-2.0
"""What is run, what is kept, what is refused; with workers that map nothing, but are real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import eval_jobs
import pytest

from lerf_ros.errors import EvaluationError
from lerf_ros.eval import harness
from lerf_ros.eval.harness import Plan, document_of, evaluate
from lerf_ros.eval.records import read_record, record_path

ROOT = Path(__file__).parents[2]
ONLY = ("default", "multi_view")


def plan(folder: Path, scenes: int = 2, seed: int = 0, steps: int = 0, jobs: int = 1) -> Plan:
    return Plan(scenes, 0, seed, folder / "work", jobs, ONLY, steps)


@pytest.fixture(autouse=True)
def _fake_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "run_job", eval_jobs.fake_job)


def ran(folder: Path) -> list[str]:
    return (folder / "ran.txt").read_text().splitlines()


@pytest.mark.slow
def test_a_second_run_does_only_what_is_missing(tmp_path: Path) -> None:
    (first,) = evaluate(plan(tmp_path, scenes=1))["default"]
    assert ran(tmp_path) == ["0 default", "0 multi_view"]
    record_path(tmp_path / "work", 0, "default").unlink()
    (tmp_path / "work" / "scene_000" / ".default.json.123").write_text("half of a res")
    told: list[tuple[int, str, int, int]] = []
    again = evaluate(plan(tmp_path), lambda *what: told.append(what))
    assert ran(tmp_path)[2:] == ["0 default", "1 default", "1 multi_view"]
    assert told[:2] == [(-1, "", 1, 4), (0, "default", 2, 4)]
    assert again["default"][0] == first == eval_jobs.record(0, "default")
    assert [r.scene for r in again["multi_view"]] == [0, 1]


def test_a_folder_of_other_settings_is_refused_and_a_damaged_result_named(tmp_path: Path) -> None:
    evaluate(plan(tmp_path, scenes=1))
    with pytest.raises(EvaluationError, match="another seed"):
        evaluate(plan(tmp_path, seed=1))
    with pytest.raises(EvaluationError, match="another default"):
        evaluate(plan(tmp_path, steps=5))
    path = record_path(tmp_path / "work", 0, "default")
    path.write_text(path.read_text()[:200])
    with pytest.raises(EvaluationError, match=r"default\.json is not a result"):
        evaluate(plan(tmp_path, scenes=1))
    settings = tmp_path / "work" / "settings.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "encoder": "f" * 16}))
    with pytest.raises(EvaluationError, match="another encoder"):
        evaluate(plan(tmp_path, scenes=1))


def test_somebody_elses_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("precious")
    with pytest.raises(EvaluationError, match="not an evaluation's folder"):
        evaluate(plan(tmp_path))
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["thesis.tex"]


def test_a_failed_scene_and_a_dead_process_do_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "fail_0").touch()
    (tmp_path / "die_1").touch()
    with pytest.raises(EvaluationError, match=r"scene 0: ValueError: told to fail; scene 1: .*exit code 7"):
        evaluate(plan(tmp_path, scenes=3))
    assert ran(tmp_path) == ["2 default", "2 multi_view"]


def test_unknown_configurations_and_too_many_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no configuration papre"):
        Plan(1, 1, 0, tmp_path, only=("papre",)).configurations()
    with pytest.raises(EvaluationError, match="500 scenes"):
        Plan(501, 0, 0, tmp_path).configurations()
    with pytest.raises(EvaluationError, match="calibration was fitted"):
        Plan(1, 1, 10_000, tmp_path).configurations()


def test_the_document_has_the_promised_keys(tmp_path: Path) -> None:
    records = {n: [eval_jobs.record(s, n, hit=s > 0) for s in range(4)] for n in ONLY}
    document = document_of(plan(tmp_path, scenes=4), records, tmp_path / "pictures")
    default = json.loads(json.dumps(document))["configurations"]["default"]
    told = default["localisation_3d"]["seen_pair"]
    assert (told["n"], told["accuracy"], told["chance"]) == (4, 0.75, pytest.approx(0.05))
    assert told["median_error_m"] == 0.001
    assert told["interval_95"][0] == pytest.approx(0.3006, abs=1e-3)  # Wilson, 3 of 4
    assert default["localisation_3d"]["distractor"]["n"] == 4
    assert default["localisation_2d"]["seen_pair"]["accuracy"] == pytest.approx(7 / 8)
    assert default["miou"] == pytest.approx(0.5)
    assert default["miou_3d"] == pytest.approx(0.5)
    assert default["existence"]["wrong_colour"]["auroc"] == 1.0
    assert default["existence"]["pooled"]["interval_95"] == [1.0, 1.0]
    assert default["average_precision"] == 1.0
    assert default["ece"] == pytest.approx((0.1 + 0.2) / 2)
    assert default["oracles"]["selection"]["accuracy"] == 0.75
    assert default["oracles"]["surface"]["coverage"] == pytest.approx(0.8)
    assert default["decisions"]["false_alarms"]["accuracy"] == 0.0
    assert "oracles" not in document["configurations"]["multi_view"]


@pytest.mark.parametrize(
    "text", ['{"protocol": 2, "se', "", "[]", '{"protocol": 2, "seed": 0, "configurations": {}}',
             '{"protocol": 2, "seed": 0, "encoder": "e"}',
             '{"protocol": 2, "seed": 0, "encoder": "e", "configurations": 3}'],
)  # fmt: skip
def test_damaged_settings_are_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "settings.json").write_text(text)
    with pytest.raises(EvaluationError, match=r"settings\.json does not say .* give another --work folder, or delete"):
        evaluate(plan(tmp_path))
    assert (tmp_path / "work" / "settings.json").read_text() == text


def test_the_code_digest_is_of_the_options_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = harness.code_digest()
    for rooms, files in ((("core", "eval", "sim"), harness.SOURCE_FILES), (harness.SOURCE_ROOMS, ())):
        monkeypatch.setattr(harness, "SOURCE_ROOMS", rooms)
        monkeypatch.setattr(harness, "SOURCE_FILES", files)
        assert harness.code_digest() != whole


def command(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command line of an evaluation of two scenes whose workers map nothing, and its environment."""
    code = (
        "import eval_jobs; from lerf_ros.eval import harness; harness.run_job = eval_jobs.fake_job;"
        "from lerf_ros.apps.cli import app; app()"
    )
    line = [sys.executable, "-c", code, "eval", "--scenes", "2", "--paper-scenes", "0", "--jobs", "1",
            "--work", str(folder / "work"), "--report", str(folder / "e.json")]  # fmt: skip
    for name in ONLY:
        line += ["--only", name]
    return line, {**os.environ, "PYTHONPATH": f"{ROOT / 'test'}:{ROOT}"}


def held(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Start that evaluation, wait until its worker is held in the second scene, and return both processes."""
    (folder / "hold_1").touch()
    line, environment = command(folder)
    started = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True, cwd=folder)
    told = folder / "held_1"
    end = time.monotonic() + eval_jobs.DEADLINE_S
    while not (told.is_file() and told.read_text()) and time.monotonic() < end:
        assert started.poll() is None, started.communicate()[1]
        time.sleep(0.1)
    return started, int(told.read_text())


def alive(process: int) -> bool:
    """Return whether a process runs: one that only waits for its parent to take note of its end does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    started, worker = held(tmp_path)
    assert alive(worker)
    started.kill()
    started.communicate(timeout=60)
    end = time.monotonic() + 30
    while alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(worker)
    assert read_record(record_path(tmp_path / "work", 0, "default")) == eval_jobs.record(0, "default")


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_finished_scenes_and_leaves_no_process(tmp_path: Path, how: int, code: int) -> None:
    started, worker = held(tmp_path)
    started.send_signal(how)
    _, said = started.communicate(timeout=60)
    assert started.returncode == code
    assert "interrupted; finished scenes are kept" in said
    assert not Path(f"/proc/{worker}").exists()
    kept = record_path(tmp_path / "work", 0, "default")
    assert read_record(kept) == eval_jobs.record(0, "default")
    assert not (tmp_path / "e.json").exists()
    (tmp_path / "hold_1").unlink()
    line, environment = command(tmp_path)
    done = subprocess.run(line, env=environment, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ran(tmp_path) == ["0 default", "0 multi_view", "1 default", "1 multi_view"]
    assert json.loads((tmp_path / "e.json").read_text())["scenes"] == 2
    assert "| multi_view |" in (tmp_path / "e.json.md").read_text()
