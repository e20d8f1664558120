# SPDX-License-Identifier: Apache-2.0
"""`train` on a capture of an exact scene, through the command line."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from analytic import Box, Sphere, render, ring
from tiny_clip_model import write_model
from typer.testing import CliRunner

from lerf_ros.apps.cli import app
from lerf_ros.apps.terminal import overrides
from lerf_ros.config import from_flat
from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.mapfile import load_map, load_state, read_info
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.restoring import check_fit
from lerf_ros.data.transforms_json import held_out_indices
from lerf_ros.errors import MapFileError

BALL = Sphere((0.08, 0.05, 0.05), 0.05, (200, 30, 30))
SCENE = (BALL, Box((-0.1, -0.06, 0.05), (0.1, 0.08, 0.1), 0.3, (30, 30, 200)))
CAMERA = Intrinsics(80, 60, 70.0, 70.0, 39.5, 29.5)
FRAMES = 14


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a ring of views in nerfstudio's layout."""
    folder = tmp_path_factory.mktemp("capture")
    frames = []
    for i, pose in enumerate(ring(FRAMES)):
        image = render(SCENE, pose, camera=CAMERA)
        assert image.depth_m is not None
        cv2.imwrite(str(folder / f"{i}.png"), image.rgb[..., ::-1])
        cv2.imwrite(str(folder / f"{i}_depth.png"), np.round(image.depth_m * 1000).astype(np.uint16))
        T_world_gl = pose @ np.diag([1.0, -1.0, -1.0, 1.0])
        frames.append({"file_path": f"{i}.png", "depth_file_path": f"{i}_depth.png", "timestamp": 0.2 * i,
                       "transform_matrix": T_world_gl.tolist()})  # fmt: skip
    intrinsics = {"fl_x": CAMERA.fx, "fl_y": CAMERA.fy, "cx": CAMERA.cx, "cy": CAMERA.cy, "w": 80, "h": 60}
    document = {**intrinsics, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_model(tmp_path_factory.mktemp('clip') / 'model')}"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["train", *arguments])
    return result.exit_code, result.stdout, result.stderr


def check_that_training_goes_on(folder: Path, model: str) -> None:
    """Take the map up as `~/load_map` does: by a node of the same settings, and not by one of others."""
    config = from_flat(read_info(folder).config)
    mapper = LerfMapper(config, load_encoder(config.encoder))
    mapper.set_threads(1)
    check_fit(read_info(folder).config, config)
    mapper.adopt(mapper.restore(load_map(folder, mapper.encoder, config.input.world_frame), load_state(folder)))
    before = mapper.step_count
    mapper.step()
    mapper.close()
    assert (mapper.keyframe_count, mapper.step_count) == (FRAMES - 2, before + 1)
    with pytest.raises(MapFileError) as refused:
        check_fit(read_info(folder).config, from_flat({"encoder.model": model}))
    for name in ("min_m", "max_m"):
        assert f"workspace.{name} = {getattr(config.workspace, name)}" in str(refused.value)
    assert "set these" in str(refused.value)


def test_it_measures_held_out_views_and_saves_a_map_that_opens(capture: Path, model: str, tmp_path: Path) -> None:
    report, folder = tmp_path / "out" / "r.json", tmp_path / "map"
    code, out, err = run(
        str(capture), "--seconds", "12", "--holdout", "2", "--threads", "1", "--report", str(report),
        "--map", str(folder), "--set", f"encoder.model={model}", "--set", "train.rays=512", "--json",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(report.read_text())
    assert json.loads(out) == found
    assert found["keyframes"] == FRAMES - 2
    assert found["steps"] > 10
    assert found["psnr_db"] > 14  # a picture of the mean colour has 11
    assert found["depth_abs_median_m"] < 0.1  # the camera is 0.65 m away
    assert found["encode_s"] + found["train_s"] == pytest.approx(12, abs=3)
    assert len(load_map(folder, None).surface.points) > 100
    check_that_training_goes_on(folder, model)
    measured = CliRunner().invoke(app, ["measure", str(folder), str(capture), "--holdout", "2", "--json"])
    assert measured.exit_code == 0, measured.stderr
    again = json.loads(measured.stdout)
    assert again["psnr_db"] == pytest.approx(found["psnr_db"], abs=1e-3)
    assert again["depth_abs_median_m"] == pytest.approx(found["depth_abs_median_m"], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--holdout", "13"), "too few to hold out 13"),
        (("--set", "train.ray=3"), "did you mean 'train.rays'"),
        (("--set", "train.rays=3"), "out of range"),
        (("--set", "encoder.model=local-dir:/nowhere"), "/nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(capture: Path, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = run(str(capture), "--seconds", "1", *arguments)
    assert code == 2
    assert says in err
    assert "Traceback" not in err


def test_a_folder_that_is_no_capture_is_named(tmp_path: Path) -> None:
    code, _, err = run(str(tmp_path))
    assert code == 2
    assert str(tmp_path) in err


def test_held_out_views_are_spread_evenly() -> None:
    assert held_out_indices(60, 8) == [3, 11, 18, 26, 33, 41, 48, 56]
    assert held_out_indices(10, 0) == []


def test_overrides_are_literals_or_text() -> None:
    assert overrides(["a.b=3", "c.d=[1, 2]", "e.f=bundled"]) == {"a.b": 3, "c.d": [1, 2], "e.f": "bundled"}
