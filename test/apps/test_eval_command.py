# SPDX-License-Identifier: Apache-2.0
"""`eval` on the command line: what it refuses, what it hands over, and what it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eval_jobs
import open_clip  # noqa: F401  (with osmesa it must be imported before MuJoCo)
import pytest
from typer.testing import CliRunner

from lerf_ros.apps.cli import app
from lerf_ros.config import Config
from lerf_ros.errors import DatasetError
from lerf_ros.eval import harness, lerf_benchmark


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def test_it_writes_tables_and_json_and_goes_on_from_its_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "run_job", eval_jobs.fake_job)
    report = tmp_path / "out" / "e.json"
    options = ("--scenes", 2, "--paper-scenes", 0, "--only", "default", "--jobs", 1, "--report", report)
    done = run(*options)
    assert done.exit_code == 0, done.stderr
    assert "| default | 1.000 [0.34, 1.00]; 2 |" in done.stdout
    assert report.with_suffix(".json.md").read_text() == done.stdout
    assert json.loads(report.read_text())["configurations"]["default"]["scenes"] == 2
    assert (tmp_path / "out" / "e.work" / "scene_001" / "default.json").is_file()
    again = run(*options, "--json")
    assert json.loads(again.stdout) == json.loads(report.read_text())
    assert (tmp_path / "out" / "ran.txt").read_text().splitlines() == ["0 default", "1 default"]
    refused = run(*options, "--seed", 1)
    assert refused.exit_code == 2
    assert "eval: " in refused.stderr
    assert "another seed" in refused.stderr


def test_an_unknown_configuration_is_named(tmp_path: Path) -> None:
    done = run("--only", "papre", "--report", tmp_path / "e.json")
    assert done.exit_code == 2
    assert "no configuration papre: there are default" in done.stderr


@pytest.mark.parametrize(("only", "rule"), [((), "peak"), (("--only", "default"), "objects")])
def test_a_lerf_dataset_is_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: tuple[str, ...], rule: str
) -> None:
    asked: dict[str, object] = {}

    def fake(folder: Path, config: Config, encoder: object, *, seconds: float, steps: int, scenes: tuple[str, ...],
             threads: int, progress: Callable[..., None]) -> tuple[dict[str, Any], str]:  # fmt: skip
        asked.update(folder=folder, rule=config.query.rule, time=(seconds, steps), scenes=scenes, threads=threads)
        asked.update(voxel_m=config.surface.voxel_m)
        progress("ramen", "training", 0.5)
        return {"lerf": {}}, "# Table 1\n"

    monkeypatch.setattr(lerf_benchmark, "run_lerf_dataset", fake)
    more = ("--steps", 7, "--jobs", 1, "--scene", "ramen", "--set", "surface.voxel_m=0.02")
    done = run("--lerf-dataset", tmp_path, "--report", tmp_path / "e.json", *more, *only)
    assert done.exit_code == 0, done.stderr
    assert asked == {
        "folder": tmp_path, "rule": rule, "time": (0.0, 7), "scenes": ("ramen",), "threads": 1, "voxel_m": 0.02,
    }  # fmt: skip
    assert done.stdout == "# Table 1\n"
    assert json.loads((tmp_path / "e.json").read_text()) == {"lerf": {}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--set", "surface.voxel_m=0.02"), "--set goes only with --lerf-dataset"),
        (("--scene", "ramen", "--seconds", 5), "--scene, --seconds goes only with --lerf-dataset"),
        (("--lerf-dataset", ".", "--seed", 0), "--seed does not go with --lerf-dataset"),
        (("--lerf-dataset", ".", "--scenes", 40, "--work", "w"), "--scenes, --work does not go with --lerf-dataset"),
        (("--lerf-dataset", ".", "--paper-scenes", 0), "--paper-scenes does not go with"),
        (("--lerf-dataset", ".", "--only", "dense"), "--only paper or --only default, not dense"),
        (("--lerf-dataset", ".", "--only", "paper", "--only", "default"), "not paper, default"),
        (("--lerf-dataset", ".", "--seconds", 5, "--steps", 7), "--seconds and --steps both"),
    ],
)
def test_an_option_that_does_not_apply_is_refused(tmp_path: Path, given: tuple[object, ...], said: str) -> None:
    done = run("--report", tmp_path / "out" / "e.json", *given)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_results_of_different_code_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "run_job", eval_jobs.fake_job)
    options = ("--scenes", 2, "--only", "multi_view", "--jobs", 1, "--report", tmp_path / "e.json")
    assert "Warning" not in run(*options).stderr
    path = tmp_path / "e.work" / "scene_001" / "multi_view.json"
    path.write_text(path.read_text().replace('"code": "code"', '"code": "newer"'))
    done = run(*options)
    assert done.exit_code == 0, done.stderr
    for text in (done.stderr, done.stdout):
        assert "results of different source code are compared: multi_view by code, newer" in text


def test_a_faulty_dataset_is_an_error_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DatasetError("no labelled scene in there")

    monkeypatch.setattr(lerf_benchmark, "run_lerf_dataset", refuse)
    done = run("--lerf-dataset", tmp_path, "--report", tmp_path / "e.json")
    assert done.exit_code == 2
    assert "eval: no labelled scene in there" in done.stderr
