# SPDX-License-Identifier: Apache-2.0
"""`~/save_map` called as a function: what is saved opens again, what cannot be saved is said."""

from concurrent.futures import Future
from pathlib import Path

import pytest
from known_scene import AXES, BALL, CONFIG, POST, snapshot_of

from lerf_ros.config import Config, from_flat
from lerf_ros.core.mapfile import load_map
from lerf_ros.core.restoring import TrainingState
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import MappingStoppedError
from lerf_ros.ros.services.save_map import SaveMapService
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import SaveMap


@pytest.fixture(scope="module")
def snapshot() -> FieldSnapshot:
    return snapshot_of((BALL, POST), (AXES["ball"], AXES["post"]))


def config(folder: Path) -> Config:
    return from_flat({"runtime.maps_dir": str(folder), "runtime.command_timeout_s": 0.1}, CONFIG)


Frozen = tuple[FieldSnapshot | None, TrainingState]


def frozen(snapshot: FieldSnapshot | None) -> "Future[Frozen]":
    future: Future[Frozen] = Future()
    future.set_result((snapshot, TrainingState()))
    return future


def test_a_saved_map_opens_again(tmp_path: Path, snapshot: FieldSnapshot) -> None:
    service = SaveMapService(Settings(config(tmp_path)), lambda _: frozen(snapshot))
    done = service(SaveMap.Request(name="kitchen"), SaveMap.Response())
    assert (done.success, done.message, done.training_step) == (True, "", snapshot.step)
    assert len(load_map(Path(done.path), None).surface.points) == len(snapshot.surface.points)


@pytest.mark.parametrize("name", ["", "../kitchen", "/tmp/kitchen", ".hidden", "a/b"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, snapshot: FieldSnapshot, name: str) -> None:
    service = SaveMapService(Settings(config(tmp_path / "maps")), lambda _: frozen(snapshot))
    done = service(SaveMap.Request(name=name), SaveMap.Response())
    assert not done.success
    assert "no map name" in done.message
    assert list(tmp_path.iterdir()) == []


def test_no_map_yet_a_busy_trainer_and_a_stopped_one_are_told(tmp_path: Path) -> None:
    def stopped(_: bool) -> "Future[Frozen]":
        raise MappingStoppedError("the mapping loop is stopped")

    says = {"no keyframe": lambda _: frozen(None), "did not pause": lambda _: Future(), "is stopped": stopped}
    for words, freeze in says.items():
        done = SaveMapService(Settings(config(tmp_path)), freeze)(SaveMap.Request(name="a"), SaveMap.Response())
        assert not done.success
        assert words in done.message
