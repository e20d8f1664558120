# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from known_scene import BALL, CONFIG, CRATE, POST, nearest_solid, surface_of
from tiny_clip_model import DIM, write_model
from typer.testing import CliRunner

from lerf_ros.apps.cli import app
from lerf_ros.config import EncoderConfig
from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.mapfile import save_map
from lerf_ros.core.snapshot import FieldSnapshot, LanguageCache

SOLIDS = (BALL, CRATE, POST)


@pytest.fixture(scope="module")
def saved_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map whose ball is exactly what the (random) encoder calls 'a zebra', and everything else 'object'."""
    folder = tmp_path_factory.mktemp("query")
    settings = EncoderConfig(model=f"local-dir:{write_model(folder / 'clip')}")
    encoder = load_encoder(settings)
    zebra, plain = encoder.encode_texts(["a zebra", "object"])
    surface = surface_of(SOLIDS)
    on_ball = nearest_solid(surface, SOLIDS) == 0
    each = np.where(on_ball[:, None], zebra - 0.9 * plain, plain - 0.9 * zebra)
    each /= np.linalg.norm(each, axis=1, keepdims=True)
    assert each.shape == (len(surface), DIM)
    cache = LanguageCache(np.array([0.1], np.float32), torch.from_numpy(each[None].astype(np.float32)))
    snapshot = FieldSnapshot(900, 10**9, "base_link", 10, surface, cache, encoder.name, encoder.sha256)
    save_map(snapshot, folder / "map", dataclasses.replace(CONFIG, encoder=settings))
    return folder / "map"


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["query", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_json_for_machines(saved_map: Path) -> None:
    code, out, _ = invoke(saved_map, "a zebra", "", "--json", "--grasps")
    assert code == 0
    (zebra, empty) = json.loads(out)["answers"]
    assert empty["status"] == "BAD_REQUEST"
    assert zebra["prompt"] == "a zebra"
    assert zebra["status"] == "FOUND"
    assert zebra["targets"]
    assert [each["argmax"] for each in zebra["instances"]] == [zebra["argmax"]]
    assert empty["instances"] == []
    np.testing.assert_allclose(zebra["extent"]["centre"], BALL.centre, atol=0.004)


def test_table_for_people(saved_map: Path) -> None:
    code, out, _ = invoke(saved_map, "a zebra", "  ")
    assert code == 0
    for word in ("a zebra", "phrase", "status", "BAD_REQUEST", "white space"):
        assert word in out


def test_cloud_holds_every_point_and_the_relevancy_of_every_phrase(saved_map: Path, tmp_path: Path) -> None:
    code, _, _ = invoke(saved_map, "a zebra", "A Zebra!", "--cloud", tmp_path / "c.ply")
    assert code == 0
    header = (tmp_path / "c.ply").read_bytes().split(b"end_header")[0].decode()
    assert "property float relevancy_a_zebra\n" in header
    assert "property float relevancy_a_zebra_1\n" in header
    assert "property int views" in header


def test_picture_shows_heat_on_the_thing_only(saved_map: Path, tmp_path: Path) -> None:
    code, _, _ = invoke(saved_map, "a zebra", "--image", tmp_path / "p.png")
    assert code == 0
    page = cv2.imread(str(tmp_path / "p.png")).astype(int)
    height, width = page.shape[:2]
    assert (height, width) == (480 + 62 + 2 * 16 + 58, 2 * 640 + 3 * 16)
    top, bottom = 16 + 62, 16 + 62 + 480  # below the notes, whose letters are coloured, too
    left, right = page[top:bottom, : width // 2], page[top:bottom, width // 2 :]
    coloured = [np.ptp(half, axis=-1) > 60 for half in (left, right)]
    # the map shows three coloured solids; over the heat panel only one stays coloured, where the ball is in the map
    red = (left[..., 2] > 120) & coloured[0] & (left[..., 0] < 90)
    assert red.sum() > 300
    assert 0.3 * red.sum() < coloured[1].sum() < 3 * red.sum()
    shift = np.abs(np.argwhere(red).mean(axis=0) - np.argwhere(coloured[1]).mean(axis=0))
    assert shift.max() < 15  # both halves of the page have the same layout


@pytest.mark.parametrize("wrong", ["absent", "foreign"])
def test_maps_that_cannot_be_used_end_with_2_and_say_why(wrong: str, tmp_path: Path) -> None:
    folder = tmp_path / wrong
    if wrong == "foreign":
        folder.mkdir()
    code, out, err = invoke(folder, "a mug")
    assert code == 2
    assert out == ""
    assert "no map" in err
