# SPDX-License-Identifier: Apache-2.0
"""`train` on a bag: the same bag and seed make the same map, bit for bit, however the bag was stored."""

import json
from pathlib import Path

import pytest
from bags import FRAMES, camera_entries, transform_entries, write_bag
from tiny_clip_model import write_model
from typer.testing import CliRunner

from lerf_ros.apps.cli import app
from lerf_ros.core.mapfile import load_map

SMALL = ("--set", "train.rays=128", "--set", "train.language_rays=64", "--set", "field.levels=4",
         "--set", "field.log2_table=12", "--set", "field.language_log2_table=10",
         "--set", "surface.min_views=1")  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_model(tmp_path_factory.mktemp('clip') / 'model')}"


def train(bag: Path, model: str, *arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(
        app, ["train", str(bag), "--steps", "12", "--threads", "1", "--holdout", "2", "--set", f"encoder.model={model}",
              *SMALL, "--json", *arguments],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_the_same_bag_and_seed_make_the_same_map(model: str, tmp_path: Path) -> None:
    entries = camera_entries() + transform_entries()
    first = train(write_bag(tmp_path / "mcap", entries), model, "--map", str(tmp_path / "map"))
    assert first["steps"] == 12
    assert first["keyframes"] == FRAMES - 2
    assert len(load_map(tmp_path / "map", None).surface.points) > 100
    again = train(tmp_path / "mcap", model)
    stored_otherwise = train(write_bag(tmp_path / "sqlite", entries, "sqlite3"), model)
    other_seed = train(tmp_path / "mcap", model, "--seed", "1")
    assert len(str(first["map_sha256"])) == 64
    assert again["map_sha256"] == first["map_sha256"]
    assert stored_otherwise["map_sha256"] == first["map_sha256"]
    assert other_seed["map_sha256"] != first["map_sha256"]
    assert again["psnr_db"] == first["psnr_db"]


def test_what_is_wrong_is_said_in_one_line(model: str, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", camera_entries())
    result = CliRunner().invoke(app, ["train", str(bag), "--steps", "1"])
    assert result.exit_code == 2
    assert "has no poses" in result.stderr
    result = CliRunner().invoke(app, ["train", str(bag), "--steps", "1", "--image", "/nope"])
    assert result.exit_code == 2
    assert "has no topic /nope" in result.stderr
    assert "Traceback" not in result.stderr
