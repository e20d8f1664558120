# SPDX-License-Identifier: Apache-2.0
"""`query --render`: what it draws, from where, and what it refuses, on a field that is known everywhere."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from analytic import CAMERA, look_at, ring
from known_field import known_config, known_weights
from known_scene import BALL, CONFIG, CRATE, POST, nearest_solid, surface_of
from tiny_clip_model import write_model
from typer.testing import CliRunner

from lerf_ros.apps import field_picture, point_view
from lerf_ros.apps.cli import app
from lerf_ros.apps.viewpoint import Viewpoint
from lerf_ros.config import EncoderConfig
from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.extent import Extent
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.geometry import Intrinsics, quaternion_from_matrix
from lerf_ros.core.mapfile import load_map, save_map
from lerf_ros.core.radiance import Rendering
from lerf_ros.core.rays import image_rays
from lerf_ros.core.request import PromptAnswer, Status
from lerf_ros.core.snapshot import FieldSnapshot, LanguageCache

SOLIDS = (BALL, CRATE, POST)
POSES = [look_at((0.0, -0.25, 0.28), (0.0, 0.0, 0.0)), *ring(2)]
BAND = 62


@pytest.fixture(scope="module")
def saved_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of three solids, whose field is the table alone: 'a zebra' to the left of x = 0, 'object' to the right."""
    folder = tmp_path_factory.mktemp("render")
    settings = EncoderConfig(model=f"local-dir:{write_model(folder / 'clip')}")
    config = dataclasses.replace(known_config(CONFIG), encoder=settings)
    encoder = load_encoder(settings)
    zebra, plain = encoder.encode_texts(["a zebra", "object"])
    left, right = zebra - 0.9 * plain, plain - 0.9 * zebra
    left, right = left / np.linalg.norm(left), right / np.linalg.norm(right)
    surface = surface_of(SOLIDS)
    on_ball = nearest_solid(surface, SOLIDS) == 0
    cache = LanguageCache(
        np.array([0.1], np.float32), torch.from_numpy(np.where(on_ball[:, None], left, right)[None].astype(np.float32))
    )
    weights = known_weights(config, left, right, np.zeros_like(left), CAMERA, POSES)
    snapshot = FieldSnapshot(900, 10**9, "base_link", 10, surface, cache, encoder.name, encoder.sha256, weights)
    save_map(snapshot, folder / "map", config)
    old = {k: v for k, v in weights.items() if k != "keyframes.intrinsics"}
    save_map(dataclasses.replace(snapshot, weights=old), folder / "old", config)
    return folder / "map"


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["query", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def camera_of(document: dict) -> tuple[Intrinsics, np.ndarray]:
    return Intrinsics(**document["render"]["intrinsics"]), np.array(document["render"]["T_world_cam"])


def coloured(picture: np.ndarray) -> np.ndarray:
    return np.ptp(picture.astype(int), axis=-1) > 60


def test_heat_lies_where_the_field_has_the_phrase_and_nowhere_else(saved_map: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.png"
    code, out, err = invoke(saved_map, "a zebra", "--render", file, "--view", 0, "--width", 200, "--json")
    assert code == 0, err
    camera, T = camera_of(json.loads(out))
    assert (camera.width, camera.height) == (200, 150)
    np.testing.assert_allclose(T, POSES[0], atol=1e-5)
    page = cv2.imread(str(file))
    assert page.shape[:2] == (150 + BAND + 2 * 16 + 58, 2 * 200 + 3 * 16)
    colour, heat = (page[16 + BAND :][:150, x : x + 200] for x in (16, 200 + 32))
    assert not coloured(colour).any()  # the known field is grey
    rays = image_rays(camera, T)
    ground = rays.origins - rays.directions * (rays.origins[:, 2:] / rays.directions[:, 2:])
    table = (np.abs(ground[:, :2]).max(axis=1) < 0.28) & (rays.directions[:, 2] < 0)
    hot = coloured(heat).ravel()
    assert hot[table & (ground[:, 0] < -0.1)].mean() > 0.95
    assert hot[table & (ground[:, 0] > 0.1)].mean() < 0.1  # the box around the answer


def test_rendered_from_a_pose_in_words_or_in_a_file(saved_map: Path, tmp_path: Path) -> None:
    file, eye, pose_file = tmp_path / "r.png", POSES[0][:3, 3], tmp_path / "pose.json"
    words = ",".join(f"{v:.9f}" for v in (*eye, *quaternion_from_matrix(POSES[0][:3, :3])))
    code, out, err = invoke(saved_map, "a zebra", "--render", file, "--pose", words, "--width", 64, "--json")
    assert code == 0, err
    document = json.loads(out)
    np.testing.assert_allclose(document["render"]["T_world_cam"], POSES[0], atol=1e-5)
    document["render"]["intrinsics"]["fx"] = 99.0
    pose_file.write_text(json.dumps(document["render"]))  # what is printed can be given back
    code, out, err = invoke(saved_map, "a zebra", "--render", file, "--pose", pose_file, "--width", 64, "--json")
    assert code == 0, err
    camera, T = camera_of(json.loads(out))
    assert camera.fx == pytest.approx(99.0)
    np.testing.assert_allclose(T, POSES[0], atol=1e-5)


def test_without_a_view_the_one_that_shows_the_answer_is_taken(saved_map: Path, tmp_path: Path) -> None:
    code, out, err = invoke(saved_map, "a zebra", "--render", tmp_path / "r.png", "--width", 64, "--json")
    assert code == 0, err
    document = json.loads(out)
    camera, T = camera_of(document)
    view = Viewpoint("", camera, T)
    assert view.frames(np.array([document["answers"][0]["argmax"]]))[0]
    assert document["render"]["name"] in {"view 0", "view 1", "view 2"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--view", 3], "no view 3: the map has views 0 to 2"),
        (["--view", -1], "no view -1: the map has views 0 to 2"),
        (["--pose", "1,2,3"], "3 numbers, not the 7 of x,y,z,qx,qy,qz,qw"),
        (["--pose", "a mug"], "neither x,y,z,qx,qy,qz,qw"),
        (["--pose", "0,0,1,0,0,0,3"], "norm 3, not 1"),
        (["--pose", "0,0,1,0,0,0,1"], "no mapped point in its image"),
        (["--pose", "0.2,-0.2,0,1,0,0,0"], "inside the mapped surface"),
        (["--pose", "nowhere.json"], "there is no pose file nowhere.json"),
        (["--pose", "0,0,1,1,0,0,0", "--view", 0], "not both"),
    ],
)
def test_viewpoints_that_cannot_be_used_are_refused(
    saved_map: Path, tmp_path: Path, arguments: list[object], said: str
) -> None:
    code, out, err = invoke(saved_map, "a zebra", "--render", tmp_path / "r.png", *arguments)
    assert code == 2
    assert out == ""
    assert said in err
    assert not (tmp_path / "r.png").exists()


def posed(**changed: object) -> str:
    """Return a pose file with some of its intrinsics changed."""
    told = {"width": 64, "height": 48, "fx": 50.0, "fy": 50.0, "cx": 31.5, "cy": 23.5} | changed
    return json.dumps({"T_world_cam": POSES[0].tolist(), "intrinsics": told})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not {"),
        ('{"intrinsics": {}}', "T_world_cam"),
        ('{"T_world_cam": [[1, 0], [0, 1]]}', "has shape (2, 2)"),
        (json.dumps({"T_world_cam": POSES[0].tolist(), "intrinsics": {"width": 64}}), "height"),
        ("[" * 100_000, "more than 64 lists or objects in one another"),
        ("[]", "holds a JSON list, not an object"),
        (json.dumps({"T_world_cam": [[10**400] * 4] * 4}), "too large"),
        (posed(width=float("inf")), "width and height must be a number, not inf"),
        (posed(width=10**400), "width and height must be a number, not 1000"),
        (posed(width=10**9), "at most 8294400 pixels, not 1e+09 x 48"),
        (posed(cx=10**400), "cx must be a number, not 1000"),
        (posed(fx=None), "fx must be a number, not None"),
    ],
)
def test_pose_files_that_cannot_be_used_are_refused(saved_map: Path, tmp_path: Path, text: str, said: str) -> None:
    pose = tmp_path / "pose.json"
    pose.write_text(text)
    code, _, err = invoke(saved_map, "a zebra", "--render", tmp_path / "r.png", "--pose", pose)
    assert code == 2
    assert str(pose) in err
    assert said in err


def test_pictures_too_high_for_their_width_are_refused(saved_map: Path, tmp_path: Path) -> None:
    pose = tmp_path / "pose.json"
    pose.write_text(posed(width=8, height=1_000_000, cx=3.5, cy=500_000))
    code, _, err = invoke(saved_map, "a zebra", "--render", tmp_path / "r.png", "--pose", pose)
    assert code == 2
    assert "480 x 60000000" in err
    assert "choose a smaller width" in err


def test_a_map_without_intrinsics_says_what_to_do(saved_map: Path, tmp_path: Path) -> None:
    code, _, err = invoke(saved_map.with_name("old"), "a zebra", "--render", tmp_path / "r.png")
    assert code == 2
    assert "map anew, or give a pose and intrinsics" in err


def test_where_to_write_and_whence_go_together(saved_map: Path, tmp_path: Path) -> None:
    assert "--render FILE.png" in invoke(saved_map, "a zebra", "--view", 0)[2]
    assert "must end in .png" in invoke(saved_map, "a zebra", "--render", tmp_path / "r.txt")[2]
    assert "there is no folder" in invoke(saved_map, "a zebra", "--render", tmp_path / "none" / "r.png")[2]


VIEW = Viewpoint("view 0", Intrinsics(64, 48, 50.0, 50.0, 31.5, 23.5), np.eye(4))
"""At the origin, looking along z at a wall one metre away."""


def shot(relevancy: float) -> field_picture.Shot:
    ones = np.ones((48, 64), np.float32)
    wall = Rendering(np.full((48, 64, 3), 0.5, np.float32), depth_m=ones, opacity=ones)
    return field_picture.Shot(VIEW, wall, {"a mug": np.full((48, 64), relevancy, np.float32)})


def panel(found: PromptAnswer, relevancy: float = 0.9) -> np.ndarray:
    page = np.asarray(field_picture.page(shot(relevancy), [found], "encoder known"))
    return page[16 + BAND : 16 + BAND + 48, 64 + 32 : 64 + 32 + 64]


def test_what_is_absent_does_not_glow_however_relevant_its_best_pixel() -> None:
    absent = PromptAnswer("a mug", Status.NOT_FOUND, "no", probability=0.01, relevancy=0.9, scale_m=0.1)
    present = dataclasses.replace(absent, status=Status.FOUND, probability=0.95)
    assert not coloured(panel(absent)).any()
    assert coloured(panel(present)).all()


@pytest.mark.parametrize(
    ("point", "where"), [((0.1, 0.1, 1.0), "visible"), ((0.2, 0.2, 2.0), "hidden"), ((1.0, 0.0, 1.0), "outside")]
)
def test_the_answer_is_marked_where_it_is(point: tuple[float, float, float], where: str) -> None:
    at = np.array(point, np.float32)
    box = Extent(at.astype(float), np.full(3, 0.05), np.array([0.0, 0.0, 0.0, 1.0]))
    found = PromptAnswer("a mug", Status.FOUND, "", 1.0, 0.5, scale_m=0.1, argmax_point=at, extent=box)
    assert field_picture.whereabouts(shot(0.5), found) == where
    picture = panel(found, 0.5)
    if where == "outside":
        assert not (picture == point_view.INK).all(axis=-1).any()
        return
    # both points are seen at u = 31.5 + 50 x 0.1, v = 23.5 + 50 x 0.1
    np.testing.assert_array_equal(picture[28, 36], {"visible": point_view.INK, "hidden": point_view.WHITE}[where])
    np.testing.assert_array_equal(picture[28 - 7, 36], point_view.INK)  # the rim of the mark


@pytest.mark.parametrize(
    ("found", "rendered"),
    [
        (PromptAnswer("a zebra", Status.FOUND, "", 0.9, 0.9, scale_m=0.0, argmax_point=np.zeros(3, np.float32)), True),
        (PromptAnswer("a zebra", Status.NOT_FOUND, "no", 0.1, 0.6, scale_m=0.0), True),
        (PromptAnswer("a zebra", Status.NOT_FOUND, "nothing of the map lies in the region"), False),
        (PromptAnswer("a zebra", Status.BAD_REQUEST, "why"), False),
    ],
)
def test_whatever_was_matched_is_rendered_at_its_scale_be_it_0(
    saved_map: Path, found: PromptAnswer, rendered: bool
) -> None:
    encoder = load_encoder(EncoderConfig(model=f"local-dir:{saved_map.with_name('clip')}"))
    field = FieldView(load_map(saved_map, None).weights, known_config(CONFIG), encoder.embed_dim)
    view = Viewpoint("", CAMERA, POSES[0]).resized(64)
    heats = field_picture.shoot(field, view, [found], encoder).relevancy
    assert list(heats) == (["a zebra"] if rendered else [])
    if rendered:
        assert heats["a zebra"].max() > 0.9


def test_a_phrase_that_could_not_be_asked_keeps_its_panel() -> None:
    bad = PromptAnswer("", Status.BAD_REQUEST, "the phrase is empty")
    assert not coloured(panel(bad)).any()


def test_rendering_needs_no_more_than_the_saved_map(saved_map: Path) -> None:
    snapshot = load_map(saved_map, None)
    assert snapshot.weights["keyframes.intrinsics"].tolist() == [[280.0, 280.0, 159.5, 119.5, 320.0, 240.0]] * 3
