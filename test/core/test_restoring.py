# SPDX-License-Identifier: Apache-2.0
"""A map that is saved and taken up again: to the bit the same, and training goes on as if nothing had happened."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from analytic import Box, Sphere, look_at, render, ring
from colour_encoder import ColourEncoder
from mapped_scene import map_ring

from lerf_ros.config import Config, from_flat, to_flat
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframe_files import SlottedKeyframe, from_tensors, to_tensors
from lerf_ros.core.keyframes import Keyframe, PosedImage
from lerf_ros.core.mapfile import load_map, load_state, read_info, save_map
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.pyramid import build_pyramid
from lerf_ros.core.query import QueryRequest, Status, answer
from lerf_ros.core.restoring import check_fit
from lerf_ros.errors import MapFileError

BALL = Sphere((0.08, 0.05, 0.035), 0.035, (200, 30, 30))
CRATE = Box((-0.10, -0.06, 0.03), (0.06, 0.08, 0.06), 0.3, (30, 30, 200))
SOLIDS = (BALL, CRATE)
VIEWS = 6
CONFIG = from_flat(
    {
        "workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3), "train.rays": 256,
        "train.depth_rays": 256, "train.language_rays": 512, "query.min_steps": 1, "query.min_keyframes": 2,
        "field.levels": 8, "field.log2_table": 14, "keyframes.max_count": 12,
    }
)  # fmt: skip
NEW_NS = 100 * 10**9


@pytest.fixture(scope="module")
def trained() -> LerfMapper:
    return map_ring(CONFIG, ColourEncoder(), SOLIDS, VIEWS, 150)


@pytest.fixture(scope="module")
def saved(trained: LerfMapper, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maps") / "kitchen"
    save_map(trained.publish(), path, CONFIG, trained.training_state())
    return path


def loaded(path: Path, into: LerfMapper | None = None, config: Config = CONFIG) -> LerfMapper:
    mapper = LerfMapper(config, ColourEncoder()) if into is None else into
    mapper.set_threads(1)
    mapper.adopt(mapper.restore(load_map(path, ColourEncoder(), "base_link"), load_state(path)))
    return mapper


def checked(path: Path, into: LerfMapper) -> None:
    """Take up a map as the service does."""
    check_fit(read_info(path).config, CONFIG)
    loaded(path, into)


def psnr_db(mapper: LerfMapper, poses: list[np.ndarray]) -> float:
    """Return that of rendered views, at a quarter of the size."""
    errors = []
    for pose in poses:
        truth = render(SOLIDS, pose)
        seen = mapper.trainer.radiance.render(truth.intrinsics.scaled(80, 60), pose)
        known = truth.depth_m[2::4, 2::4] > 0
        errors.append(np.mean((seen.rgb - truth.rgb[2::4, 2::4] / 255)[known] ** 2))
    return float(-10 * np.log10(np.mean(errors)))


def grow(mapper: LerfMapper, poses: list[np.ndarray], steps: int) -> None:
    for k, pose in enumerate(poses):
        keyframe = mapper.prepare(render(SOLIDS, pose, stamp_ns=NEW_NS + k * 10**9))
        assert keyframe is not None
        mapper.add(keyframe)
    for _ in range(steps):
        mapper.step()


def test_saved_loaded_and_saved_again_is_the_same_to_the_byte(saved: Path, trained: LerfMapper, tmp_path: Path) -> None:
    mapper = loaded(saved)
    save_map(mapper.publish(), tmp_path / "again", CONFIG, mapper.training_state())
    first, second = (sorted(p.rglob("*.safetensors")) for p in (saved, tmp_path / "again"))
    assert [p.name for p in first] == [p.name for p in second]
    assert len(first) == 4 + VIEWS
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))
    # and not because the files were copied: the trainer and the surface hold it all
    weights, expected = mapper.weights(), trained.weights()
    assert weights.keys() == expected.keys()
    assert all(np.array_equal(weights[name], expected[name]) for name in weights)
    built, was = mapper._surface.build(), trained._surface.build()
    assert all(np.array_equal(getattr(built, n), getattr(was, n)) for n in ("points", "normals", "colours", "views"))
    language, other = (m.trainer.language.bank for m in (mapper, trained))
    for mine, theirs in zip(mapper.store.view(), trained.store.view(), strict=True):
        assert np.array_equal(language.features(mine.id), other.features(theirs.id))


def test_a_loaded_map_answers_at_once(saved: Path, trained: LerfMapper) -> None:
    request = QueryRequest(("red", "blue"))
    before, after = (
        answer(m.publish(), request, ColourEncoder(), CONFIG, now_ns=10**10) for m in (trained, loaded(saved))
    )
    for mine, theirs in zip(after, before, strict=True):
        assert (mine.status, mine.probability) == (Status.FOUND, theirs.probability)
        np.testing.assert_array_equal(mine.argmax_point, theirs.argmax_point)


def test_training_goes_on_and_old_views_stay_as_good(saved: Path) -> None:
    mapper, old = loaded(saved), ring(VIEWS)
    before = psnr_db(mapper, old)
    grow(mapper, [], 5)
    assert psnr_db(mapper, old) > before - 0.5, "the optimisers begin anew"
    side = [look_at((0.45, y, 0.3), (0.1, y, 0.0)) for y in (-0.1, 0.0, 0.1)]
    grow(mapper, side, 100)
    assert mapper.keyframe_count == VIEWS + 3
    assert psnr_db(mapper, old) > before - 0.2
    snapshot = mapper.publish()
    assert (snapshot.step, snapshot.keyframes) == (255, VIEWS + 3)
    assert snapshot.stamp_ns == NEW_NS + 2 * 10**9


def test_a_map_without_keyframes_answers_and_is_learned_on(trained: LerfMapper, tmp_path: Path) -> None:
    save_map(trained.publish(), tmp_path / "m", CONFIG)
    mapper = loaded(tmp_path / "m")
    assert mapper.publish().keyframes == VIEWS
    assert mapper.forget(np.array([0.2, 0.2, -0.01]), np.array([0.25, 0.25, 0.01]), 10**10) > 0
    points = mapper.publish().surface.points
    assert len(points) < len(trained.publish().surface)
    grow(mapper, ring(VIEWS)[:2], 20)
    snapshot = mapper.publish()
    assert (snapshot.step, snapshot.keyframes) == (170, VIEWS + 2)
    (red,) = answer(snapshot, QueryRequest(("red",)), ColourEncoder(), CONFIG, now_ns=10**10)
    assert red.status is Status.FOUND
    assert np.linalg.norm(red.argmax_point - np.array(BALL.centre)) < BALL.radius + 0.02


def test_points_of_an_older_map_are_found_again_in_cells(trained: LerfMapper, tmp_path: Path) -> None:
    save_map(trained.publish(), tmp_path / "m", CONFIG)
    built, was = loaded(tmp_path / "m")._surface.build(), trained.publish().surface
    assert len(built) > 0.98 * len(was)
    near = np.linalg.norm(built.points[:500, None] - was.points[None], axis=-1).min(axis=1)
    assert near.max() < was.voxel_m


def test_what_is_refused_leaves_the_map_in_use_untouched(saved: Path, tmp_path: Path) -> None:
    def truncate(name: str) -> None:
        file = copy / name
        file.write_bytes(file.read_bytes()[:-10])

    def other_weights() -> None:
        text = json.loads((copy / "metadata.json").read_text())
        text["config"]["field.levels"] = 9
        (copy / "metadata.json").write_text(json.dumps(text))

    running = map_ring(CONFIG, ColourEncoder(), SOLIDS, 3, 2)
    before = running.weights()
    damages = {
        "weights": lambda: truncate("weights.safetensors"),
        "cells": lambda: truncate("cells.safetensors"),
        "keyframes/000002": lambda: truncate("keyframes/000002.safetensors"),
        "field.levels = 9 (here 8)": other_weights,
    }
    for k, (words, damage) in enumerate(damages.items()):
        copy = tmp_path / str(k)
        save_map(load_map(saved, None), copy, CONFIG, load_state(saved))
        damage()
        with pytest.raises(MapFileError) as told:
            checked(copy, running)
        assert words in str(told.value)
    assert running.keyframe_count == 3
    assert all(np.array_equal(value, before[name]) for name, value in running.weights().items())


def test_every_setting_that_shapes_the_fields_is_named() -> None:
    stored = to_flat(CONFIG) | {"field.hidden": 64, "workspace.max_m": (1.0, 1.0, 1.0), "field.device": "cuda",
                                "train.rays": 99, "keyframes.max_count": 13}  # fmt: skip
    with pytest.raises(MapFileError) as told:
        check_fit(stored, CONFIG)
    for words in ("field.hidden = 64 (here 32)", "workspace.max_m", "keyframes.max_count = 13"):
        assert words in str(told.value)
    assert "field.device" not in str(told.value), "any device will do"
    assert "train.rays" not in str(told.value), "how it was trained may change"
    older = {k: v for k, v in to_flat(from_flat({})).items() if k != "field.language_layers"}
    check_fit(older, from_flat({}))


@pytest.mark.parametrize("number", [10**400, -(10**400), float("inf"), float("nan")])
@pytest.mark.parametrize("key", ["field.levels", "workspace.max_m", "keyframes.max_count"])
def test_settings_that_no_number_can_be_are_refused(key: str, number: float) -> None:
    with pytest.raises(MapFileError, match=key):
        check_fit({key: [number] * 3 if key.startswith("workspace") else number}, CONFIG)


def test_weights_of_other_shapes_are_refused(saved: Path) -> None:
    snapshot = load_map(saved, None)
    weights = {k: v[:-1] if k == "language.grid.table" else v for k, v in snapshot.weights.items()}
    with pytest.raises(MapFileError, match="do not fit"):
        LerfMapper(CONFIG, ColourEncoder()).restore(dataclasses.replace(snapshot, weights=weights), load_state(saved))


def test_a_keyframe_keeps_every_bit() -> None:
    rng = np.random.default_rng(1)
    mask = rng.random((24, 32)) > 0.3
    depth = rng.random((24, 32)).astype(np.float32) * 9
    image = PosedImage(
        7, rng.integers(0, 255, (24, 32, 3)).astype(np.uint8), depth, Intrinsics(32, 24, 30.5, 31.0, 15.2, 11.7),
        ring(3)[1], "wrist_optical_frame", mask,
    )  # fmt: skip
    pyramid = build_pyramid(ColourEncoder(), image.rgb, CONFIG.pyramid)
    patches = rng.random((3, 4, 5)).astype(np.float16)
    kept = SlottedKeyframe(Keyframe.of(3, image, pyramid, patches), 11)
    back = from_tensors(to_tensors(kept), 5, "file")
    assert (back.slot, back.keyframe.id) == (11, 5)
    mine, theirs = back.keyframe.image, kept.keyframe.image
    assert (mine.stamp_ns, mine.camera, mine.intrinsics) == (7, "wrist_optical_frame", image.intrinsics)
    for name in ("rgb", "depth_m", "mask", "T_world_cam"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    for name in vars(pyramid):
        np.testing.assert_array_equal(getattr(back.keyframe.pyramid, name), getattr(pyramid, name))
    np.testing.assert_array_equal(back.keyframe.patches, patches)
    blind = SlottedKeyframe(Keyframe.of(0, dataclasses.replace(image, depth_m=None, mask=None)), 0)
    bare = from_tensors(to_tensors(blind), 1, "file").keyframe
    assert (bare.image.depth, bare.image.bits, bare.pyramid, bare.patches) == (None, None, None, None)


def damaged(tensors: dict[str, torch.Tensor], name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(MapFileError, match="the file is damaged"):
        from_tensors(tensors | {name: change(tensors[name].clone())}, 0, "the file")


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """Return those of a keyframe that has everything, which can be read."""
    image = render(SOLIDS, ring(1)[0])
    masked = dataclasses.replace(image, mask=np.zeros(image.rgb.shape[:2], bool))
    pyramid = build_pyramid(ColourEncoder(), image.rgb, CONFIG.pyramid)
    patches = np.zeros((3, 4, 5), np.float16)
    tensors = to_tensors(SlottedKeyframe(Keyframe.of(0, masked, pyramid, patches), 0))
    from_tensors(tensors, 0, "the file")
    return tensors


def test_a_pyramid_that_would_be_read_beyond_its_end_is_refused(tensors: dict[str, torch.Tensor]) -> None:
    def first(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
        def change(values: torch.Tensor) -> torch.Tensor:
            values.view(-1)[0] = value
            return values

        return change

    for name in ("nx", "ny", "offset", "tile_px"):
        for value in (-1, 1000, 2**31 - 1) if name != "tile_px" else (0, -1):
            damaged(tensors, f"pyramid.{name}", first(value))
        damaged(tensors, f"pyramid.{name}", lambda values: values.long())
        damaged(tensors, f"pyramid.{name}", lambda values: values[:-1])
    for value in (0.0, -1.0, np.inf, np.nan):
        damaged(tensors, "pyramid.span_px", first(value))
    for value in (np.inf, np.nan):
        damaged(tensors, "pyramid.first_px", first(value))
        damaged(tensors, "pyramid.features", first(value))
    damaged(tensors, "pyramid.features", lambda values: values[:-1])
    damaged(tensors, "pyramid.features", lambda values: values.float())


def test_arrays_of_other_types_and_numbers_that_are_none_are_refused(tensors: dict[str, torch.Tensor]) -> None:
    damaged(tensors, "mask_bits", lambda values: values.to(torch.int8))
    damaged(tensors, "mask_bits", lambda values: values[None])
    damaged(tensors, "patches", lambda values: values.float())
    damaged(tensors, "patches", lambda values: values[0])
    for name in ("patches", "pyramid.features", "T_world_cam", "rgb_png"):
        damaged(tensors, name, lambda values: values.to(torch.bfloat16))
    for value in (np.inf, np.nan):
        damaged(tensors, "intrinsics", lambda values, value=value: torch.full_like(values, value))
        damaged(tensors, "depth_unit_m", lambda values, value=value: torch.full_like(values, value))
        damaged(tensors, "slot", lambda values, value=value: torch.full((1,), value))


def test_what_was_stale_stays_so_until_it_is_seen_again(trained: LerfMapper, tmp_path: Path) -> None:
    snapshot = trained.publish()
    near = np.linalg.norm(snapshot.surface.points - np.array(BALL.centre), axis=1) < 0.05
    surface = dataclasses.replace(snapshot.surface, stale_since_ns=np.where(near, 3 * 10**9, 0))
    for name, state in {"whole": trained.training_state(), "points": None}.items():
        save_map(dataclasses.replace(snapshot, surface=surface), tmp_path / name, CONFIG, state)
        mapper = loaded(tmp_path / name)
        if state is not None:
            mapper.step()  # so that another snapshot is made of the cells
        built = mapper._surface.build()
        assert built.stale.sum() > 0.9 * near.sum()
        assert set(np.unique(built.stale_since_ns)) == {0, 3 * 10**9}
        (red,) = answer(mapper.publish(), QueryRequest(("red",)), ColourEncoder(), CONFIG, now_ns=10**10)
        assert red.status is Status.STALE
        grow(mapper, [look_at((0.45 * np.cos(a), 0.45 * np.sin(a), 0.35), (0.0, 0.0, 0.03))
                      for a in np.linspace(0.3, 6.0, 4)], 0)  # fmt: skip
        left = mapper.publish().surface.stale
        assert left.sum() < 0.1 * near.sum(), "it is there as ever"


@pytest.mark.parametrize("name", ["rgb_png", "intrinsics", "T_world_cam", "mask_bits", "depth_unit_m"])
def test_a_file_that_is_no_keyframe_is_refused(name: str) -> None:
    image = render(SOLIDS, ring(1)[0])
    mask = np.zeros(image.rgb.shape[:2], bool)
    tensors = to_tensors(SlottedKeyframe(Keyframe.of(0, dataclasses.replace(image, mask=mask)), 0))
    tensors[name] = torch.zeros(0, dtype=tensors[name].dtype) if name != "rgb_png" else tensors["depth_png"]
    with pytest.raises(MapFileError, match="the file is damaged: it is no keyframe"):
        from_tensors(tensors, 0, "the file")
