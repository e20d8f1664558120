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


def test_a_faulty_dataset_is_an_error_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DatasetError("no labelled scene in there")

    monkeypatch.setattr(lerf_benchmark, "run_lerf_dataset", refuse)
    done = run("--lerf-dataset", tmp_path, "--report", tmp_path / "e.json")
    assert done.exit_code == 2
    assert "eval: no labelled scene in there" in done.stderr
