# SPDX-License-Identifier: Apache-2.0
import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from known_scene import AXES, BALL, CONFIG, POST, KnownEncoder, snapshot_of
from safetensors.torch import load_file, save_file

from lerf_ros.config import from_flat
from lerf_ros.core.mapfile import load_map, load_state, map_path, read_info, save_map
from lerf_ros.core.snapshot import FieldSnapshot, LanguageCache
from lerf_ros.errors import MapFileError


@pytest.fixture(scope="module")
def snapshot() -> FieldSnapshot:
    return snapshot_of((BALL, POST), (AXES["ball"], AXES["post"]))


@pytest.fixture
def saved(snapshot: FieldSnapshot, tmp_path: Path) -> Path:
    save_map(snapshot, tmp_path / "maps" / "kitchen", CONFIG)
    return tmp_path / "maps" / "kitchen"


def test_round_trip_is_exact(snapshot: FieldSnapshot, saved: Path) -> None:
    back = load_map(saved, KnownEncoder(), "base_link")
    for name in ("points", "normals", "colours", "views", "last_seen_ns"):
        np.testing.assert_array_equal(getattr(back.surface, name), getattr(snapshot.surface, name))
    torch.testing.assert_close(back.language.embeddings, snapshot.language.embeddings, rtol=0, atol=0)
    np.testing.assert_array_equal(back.language.scales_m, snapshot.language.scales_m)
    np.testing.assert_array_equal(back.weights["grid"], snapshot.weights["grid"])
    for name in ("step", "stamp_ns", "frame_id", "keyframes", "encoder_name", "encoder_sha256"):
        assert getattr(back, name) == getattr(snapshot, name)
    assert back.surface.voxel_m == snapshot.surface.voxel_m
    assert from_flat(read_info(saved).config) == CONFIG


def test_bfloat16_embeddings_survive(snapshot: FieldSnapshot, tmp_path: Path) -> None:
    half = dataclasses.replace(snapshot.language, rows=snapshot.language.rows.bfloat16())
    save_map(dataclasses.replace(snapshot, language=half), tmp_path / "m", CONFIG)
    assert load_map(tmp_path / "m", None).language.embeddings.dtype == torch.bfloat16


def test_coordinates_survive_with_their_basis(snapshot: FieldSnapshot, tmp_path: Path) -> None:
    compact = LanguageCache.of(snapshot.language.scales_m, snapshot.language.embeddings)
    save_map(dataclasses.replace(snapshot, language=compact), tmp_path / "m", CONFIG)
    back = load_map(tmp_path / "m", None).language
    assert compact.basis is not None
    assert back.basis is not None
    assert torch.equal(back.rows, compact.rows)
    assert torch.equal(back.basis, compact.basis)


def test_a_map_of_version_1_holds_embeddings_in_full(
    snapshot: FieldSnapshot, saved: Path
) -> None:
    language = snapshot.language
    old = {"scales_m": torch.from_numpy(language.scales_m), "embeddings": language.embeddings.bfloat16()}
    save_file(old, saved / "language.safetensors")
    told = json.loads((saved / "metadata.json").read_text())
    told["sha256"]["language"] = hashlib.sha256((saved / "language.safetensors").read_bytes()).hexdigest()
    (saved / "metadata.json").write_text(json.dumps(told | {"version": 1}))
    back = load_map(saved, None).language
    torch.testing.assert_close(back.embeddings, language.embeddings, rtol=0, atol=1e-4)


def test_saving_again_replaces_the_map_and_leaves_nothing_behind(snapshot: FieldSnapshot, saved: Path) -> None:
    save_map(dataclasses.replace(snapshot, step=4321), saved, CONFIG)
    assert load_map(saved, None).step == 4321
    assert [p.name for p in saved.parent.iterdir()] == ["kitchen"]


def test_a_failed_save_keeps_the_old_map(snapshot: FieldSnapshot, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lerf_ros.core.mapfile._sync", full)
    with pytest.raises(MapFileError, match="No space left"):
        save_map(snapshot, saved, CONFIG)
    monkeypatch.undo()
    assert load_map(saved, None).step == snapshot.step
    assert [p.name for p in saved.parent.iterdir()] == ["kitchen"]


def test_other_peoples_folders_are_not_overwritten(snapshot: FieldSnapshot, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(MapFileError, match="not overwritten"):
        save_map(snapshot, tmp_path, CONFIG)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("part", ["surface", "language", "weights"])
def test_truncated_and_missing_parts_are_refused(saved: Path, part: str) -> None:
    file = saved / f"{part}.safetensors"
    os.truncate(file, file.stat().st_size - 7)
    with pytest.raises(MapFileError, match=rf"{part}\.safetensors is damaged"):
        load_map(saved, None)
    file.unlink()
    with pytest.raises(MapFileError, match="missing"):
        load_map(saved, None)


def test_exchanged_parts_are_refused(saved: Path) -> None:
    (saved / "weights.safetensors").write_bytes((saved / "surface.safetensors").read_bytes())
    with pytest.raises(MapFileError, match="not the file that was saved"):
        load_map(saved, None)


def rewrite(saved: Path, **changes: object) -> None:
    file = saved / "metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_newer_foreign_and_broken_maps_are_refused(saved: Path, tmp_path: Path) -> None:
    rewrite(saved, version=99)
    with pytest.raises(MapFileError, match="version 99"):
        load_map(saved, None)
    rewrite(saved, version=1, format="octomap")
    with pytest.raises(MapFileError, match="another program"):
        load_map(saved, None)
    rewrite(saved, format="lerf_ros map", points="many")
    with pytest.raises(MapFileError, match="damaged"):
        load_map(saved, None)
    rewrite(saved, points=3)
    with pytest.raises(MapFileError, match="for 3 points"):
        load_map(saved, None)
    rewrite(saved, sha256={})
    with pytest.raises(MapFileError, match="no sha256"):
        load_map(saved, None)
    (saved / "metadata.json").write_text('{"format": "lerf')
    with pytest.raises(MapFileError, match="damaged"):
        load_map(saved, None)
    with pytest.raises(MapFileError, match="no map at"):
        load_map(tmp_path / "nowhere", None)
    with pytest.raises(MapFileError, match=r"holds no metadata\.json"):
        load_map(tmp_path, None)


@pytest.mark.parametrize("name", ["keyframes/../../secret", "keyframes/", "keyframes/000000/../1", "../x", "/etc"])
def test_parts_that_lead_out_of_the_map_are_refused(saved: Path, name: str) -> None:
    told = json.loads((saved / "metadata.json").read_text())
    rewrite(saved, sha256=told["sha256"] | {name: "0" * 64})
    for read in (read_info, load_state):
        with pytest.raises(MapFileError, match=r"damaged.*is no part of a map"):
            read(saved)


@pytest.mark.parametrize("name", ["step", "keyframes", "points", "stamp_ns", "voxel_m", "keyframe_step"])
@pytest.mark.parametrize("value", ["Infinity", "1e999", "NaN", "-1"])
def test_numbers_that_are_none_are_refused(saved: Path, name: str, value: str) -> None:
    rewrite(saved, **{name: "HERE"})
    file = saved / "metadata.json"
    file.write_text(file.read_text().replace('"HERE"', value))
    with pytest.raises(MapFileError, match=r"metadata\.json is damaged"):
        load_state(saved)


def replace_tensor(saved: Path, part: str, name: str, values: torch.Tensor) -> None:
    """Write another tensor into a part, and the digest that goes with it: as somebody who means it would."""
    file = saved / f"{part}.safetensors"
    save_file(load_file(file) | {name: values}, file)
    sums = json.loads((saved / "metadata.json").read_text())["sha256"]
    rewrite(saved, sha256=sums | {part: hashlib.sha256(file.read_bytes()).hexdigest()})


@pytest.mark.parametrize(
    ("part", "name"),
    [("surface", "points"), ("surface", "stale_since_ns"), ("language", "scales_m"), ("weights", "grid")],
)
def test_tensors_of_other_types_are_refused_with_the_name_of_the_file(saved: Path, part: str, name: str) -> None:
    replace_tensor(saved, part, name, torch.zeros(3, dtype=torch.bfloat16))
    with pytest.raises(MapFileError, match=rf"kitchen/{part}\.safetensors is damaged"):
        load_map(saved, None)


@pytest.mark.parametrize("values", [torch.zeros(()), torch.zeros(2, 3), torch.zeros(1, 1, 4, dtype=torch.int64)])
def test_language_of_other_shapes_is_refused(saved: Path, values: torch.Tensor) -> None:
    for name in ("rows", "scales_m"):
        replace_tensor(saved, "language", name, values)
        with pytest.raises(MapFileError, match=r"language\.safetensors is damaged"):
            load_map(saved, None)


def test_what_was_stale_is_stale_in_the_map_that_is_loaded(snapshot: FieldSnapshot, saved: Path) -> None:
    since_ns = np.arange(len(snapshot.surface), dtype=np.int64) % 3
    changed = dataclasses.replace(snapshot, surface=dataclasses.replace(snapshot.surface, stale_since_ns=since_ns))
    save_map(changed, saved, CONFIG)
    np.testing.assert_array_equal(load_map(saved, None).surface.stale_since_ns, since_ns)


def test_maps_from_before_there_was_stale_surface_open(snapshot: FieldSnapshot, saved: Path) -> None:
    file = saved / "surface.safetensors"
    save_file({k: v for k, v in load_file(file).items() if k != "stale_since_ns"}, file)
    sums = json.loads((saved / "metadata.json").read_text())["sha256"]
    rewrite(saved, sha256=sums | {"surface": hashlib.sha256(file.read_bytes()).hexdigest()})
    surface = load_map(saved, None).surface
    assert len(surface) == len(snapshot.surface)
    assert not surface.stale.any()


def test_another_encoder_or_frame_is_refused(saved: Path) -> None:
    with pytest.raises(MapFileError, match="made with encoder known"):
        load_map(saved, KnownEncoder(sha256="z" * 64))
    with pytest.raises(MapFileError, match="frame 'base_link', not 'map'"):
        load_map(saved, None, "map")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\0b"])
def test_names_that_lead_out_of_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(MapFileError, match="no map name"):
        map_path(tmp_path, name)
    assert map_path(tmp_path, "kitchen_2") == tmp_path / "kitchen_2"
