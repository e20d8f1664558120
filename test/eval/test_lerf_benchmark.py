# SPDX-License-Identifier: Apache-2.0
"""The whole benchmark on simulated tables in the published formats: poses by a perfect map, the rest by a real one."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder
from eval.write_lerf_scene import CAPTURE, FOVY_DEG, HEIGHT, WIDTH, masks, seen, table, write_lerf, write_ovs

from lerf_ros.config import from_flat
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.errors import ConfigError, DatasetError
from lerf_ros.eval.lerf_benchmark import run_lerf_dataset
from lerf_ros.eval.published import LERF_TABLE_1, OVERALL, OVS_LOCALISATION, OVS_MIOU
from lerf_ros.sim.camera import SceneRenderer
from lerf_ros.sim.scene import Scene

SMALL = from_flat({
    "pyramid.levels": 2, "pyramid.min_tile": 0.2, "train.rays": 256, "train.language_rays": 256, "field.log2_table": 12,
    "query.scales": 2, "train.language_samples": 2,
})  # fmt: skip


class PerfectMap:
    """Relevancy 0.9 at the pixels of the thing that is asked for, as the simulator renders them from the given pose."""

    def __init__(self, scene: Scene, renderer: SceneRenderer) -> None:
        self._scene, self._renderer = scene, renderer

    def relevancy(
        self, intrinsics: Intrinsics, T_world_cam: np.ndarray, positives: np.ndarray, negatives: np.ndarray,
        scales_m: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        assert (intrinsics.width, intrinsics.height) == (WIDTH, HEIGHT)
        assert intrinsics.fy == pytest.approx(HEIGHT / 2 / np.tan(np.radians(FOVY_DEG) / 2))
        assert (intrinsics.cx, intrinsics.cy) == pytest.approx(((WIDTH - 1) / 2, (HEIGHT - 1) / 2))
        found = masks(self._scene, seen(self._renderer, T_world_cam))
        colours = [list(PALETTE)[k] for k in positives.argmax(axis=1)]
        asked = [next(mask for phrase, mask in found.items() if phrase.startswith(colour)) for colour in colours]
        out = np.full((len(positives), len(scales_m), HEIGHT, WIDTH), 0.4, np.float32)
        for k, mask in enumerate(asked):
            out[k, -1][mask] = 0.9
        return out


@pytest.fixture(scope="module")
def lerf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lerf")
    write_lerf(folder)
    return folder


@pytest.fixture(scope="module")
def ovs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ovs")
    write_ovs(folder)
    return folder


@pytest.fixture
def perfect() -> Iterator[PerfectMap]:
    with table() as (scene, renderer):
        yield PerfectMap(scene, renderer)


def test_a_perfect_map_finds_every_label_of_novel_views(lerf: Path, perfect: PerfectMap) -> None:
    report, markdown = run_lerf_dataset(lerf, SMALL, ColourEncoder(), steps=1, make_view=lambda *_: perfect)
    found = report["lerf"]
    assert found["pooled"]["n"] == 6  # three things in two views
    assert found["pooled"]["accuracy"] == found["mean_of_scenes"]["accuracy"] == 1.0
    assert 0 < found["pooled"]["chance"] < 0.1
    assert {a["view"] for a in found["scenes"]["table"]["answers"]} == {"0_rgb", "1_rgb"}
    assert {a["relevancy"] for a in found["scenes"]["table"]["answers"]} == {0.9}
    assert report["training"]["table"]["images"] == len(CAPTURE)
    assert report["training"]["table"]["steps"] == 1
    assert report["lerf_ovs"] == {"scenes": {}}
    assert report["config"]["train.rays"] == 256
    json.dumps(report, allow_nan=False)
    assert "| LERF | 81.5 | 91.7 | 62.5 | 93.8 | 79.5 ? |  | 81.8 ? | 80.3 ? |" in markdown
    assert "| **ours** |  |  |  |  |  | 100.0 | 100.0 | 100.0 |" in markdown
    assert "LERF-OVS" not in markdown


def test_a_perfect_map_cuts_out_every_mask_of_the_capture(ovs: Path, perfect: PerfectMap) -> None:
    report, markdown = run_lerf_dataset(ovs, SMALL, ColourEncoder(), steps=1, make_view=lambda *_: perfect)
    found = report["lerf_ovs"]
    assert found["pooled"]["n"] == 6
    assert found["pooled"]["accuracy"] == 1.0
    assert found["pooled"]["miou"] > 0.7  # a thin thing loses its edges to the 30 x 30 mean, at this image size
    assert report["lerf"] == {"scenes": {}}
    assert "LERF, Table 1" not in markdown
    assert "LERF-OVS, rendered masks" in markdown


def test_a_map_that_is_trained_is_asked(lerf: Path) -> None:
    told = []
    report, _ = run_lerf_dataset(
        lerf, SMALL, ColourEncoder(), steps=20, progress=lambda scene, what, share: told.append((scene, what, share))
    )
    answers = report["lerf"]["scenes"]["table"]["answers"]
    assert len(answers) == 6
    assert all(0 <= a["relevancy"] <= 1 and 0 <= a["x"] < WIDTH and 0 <= a["y"] < HEIGHT for a in answers)
    assert list(dict.fromkeys(what for _, what, _ in told)) == ["reading", "embedding images", "training", "asking"]


def test_steps_repeat_exactly(lerf: Path) -> None:
    first, again = (run_lerf_dataset(lerf, SMALL, ColourEncoder(), steps=5)[0]["lerf"] for _ in range(2))
    assert first == again


def test_a_budget_is_needed_and_only_one(lerf: Path) -> None:
    for budget in ({}, {"seconds": 1.0, "steps": 1}):
        with pytest.raises(ConfigError, match="either seconds or steps"):
            run_lerf_dataset(lerf, SMALL, ColourEncoder(), **budget)


def test_an_unlabelled_scene_is_refused_when_it_is_named(lerf: Path) -> None:
    with pytest.raises(DatasetError, match=r"no scene 'ramen'; it has table"):
        run_lerf_dataset(lerf, SMALL, ColourEncoder(), steps=1, scenes=["ramen"])
    with pytest.raises(DatasetError, match=r"no scene in .* is labelled: expected keyframes.json"):
        run_lerf_dataset(lerf / "LERF Datasets", SMALL, ColourEncoder(), steps=1)
    with pytest.raises(DatasetError, match="not labelled"):
        run_lerf_dataset(lerf / "LERF Datasets", SMALL, ColourEncoder(), steps=1, scenes=["table"])


def test_an_unreadable_image_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    write_lerf(tmp_path)
    image = sorted(tmp_path.rglob("*.png"))[-1]
    image.write_bytes(b"no image")
    told = []
    with pytest.raises(DatasetError, match=r"frame_00006\.png is missing or not an image"):
        run_lerf_dataset(tmp_path, SMALL, ColourEncoder(), steps=1, progress=lambda _, what, __: told.append(what))
    assert set(told) == {"reading"}


def test_published_rows_are_whole_and_their_means_agree() -> None:
    for wide in (LERF_TABLE_1, OVS_LOCALISATION, OVS_MIOU):
        for row in wide.rows:
            assert set(row.cells) <= {*wide.scenes, OVERALL}
            means = [row.cells[s].value for s in wide.scenes if s in row.cells]
            if wide is not LERF_TABLE_1 and len(means) == len(wide.scenes):
                # Rounded cells, and copies of copies: a slip of the pen would be larger.
                assert np.mean(means) == pytest.approx(row.cells[OVERALL].value, abs=0.11), (wide.name, row.method)
    lerf = LERF_TABLE_1.rows[-1]
    assert np.mean([lerf.cells[s].value for s in LERF_TABLE_1.scenes]) == pytest.approx(81.8)
    assert not lerf.cells[OVERALL].verified
    assert lerf.cells["ramen"].verified
