# SPDX-License-Identifier: Apache-2.0
"""The language field's options: one or two grids, where it is learned, its loss, its weight decay."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from analytic import Box, Sphere, render, ring
from colour_encoder import PALETTE, ColourEncoder
from mapped_scene import map_ring

from lerf_ros.config import Config, FieldConfig, from_dict, from_flat, get
from lerf_ros.core.batches import draw_pixels
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.field import LanguageField, language_layouts
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.errors import ConfigError

ROOT = Path(__file__).parents[2]
BALL = Sphere((0.08, 0.05, 0.035), 0.035, (200, 30, 30))
CRATE = Box((-0.10, -0.06, 0.03), (0.06, 0.08, 0.06), 0.3, (30, 30, 200))
CONFIG = from_flat(
    {
        "workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3), "train.rays": 128,
        "train.depth_rays": 128, "train.language_rays": 512,
    }
)  # fmt: skip
LERF_CODE = FieldConfig(
    language_grids=2, language_levels=12, language_features=8, language_log2_table=19, language_hidden=256,
    language_layers=4,
)  # fmt: skip


def mapped(changes: dict[str, object], steps: int) -> LerfMapper:
    return map_ring(from_flat(changes, CONFIG), ColourEncoder(), (BALL, CRATE), 6, steps)


def red_and_blue(mapper: LerfMapper, point: tuple[float, float, float], scale_m: float = 0.06) -> list[float]:
    """Return how much of either there is in the embedding of a point."""
    assert mapper.trainer.language is not None
    found = mapper.trainer.language.evaluate(np.array([point], np.float32), np.array([scale_m], np.float32))
    return [float(found[0, 0, list(PALETTE).index(name)]) for name in ("red", "blue")]


def test_two_grids_are_those_of_the_released_code() -> None:
    coarse, fine = language_layouts(LERF_CODE)
    assert (coarse.resolution[0], coarse.resolution[-1]) == (16, 128)
    assert (fine.resolution[0], fine.resolution[-1]) == (128, 512)
    assert coarse.width + fine.width == 192
    # The paper's single grid has levels at the same ends.
    (one,) = language_layouts(FieldConfig(language_levels=32, language_features=8, language_log2_table=19))
    assert (one.levels, one.resolution[0], one.resolution[-1], one.width) == (32, 16, 512, 256)


def test_two_grids_give_one_vector_of_features_and_both_are_saved() -> None:
    small = FieldConfig(language_grids=2, language_levels=3, language_features=2, language_log2_table=10)
    field = LanguageField(small, SceneBox.of(CONFIG.workspace), 6, Workers(), seed=1)
    assert field.encode(torch.zeros(5, 3)).shape == (5, 12)
    assert len(field.grids) == 2
    names = dict(field.named_parameters())
    assert {"grid.table", "fine_grid.table"} < names.keys()
    assert names["net.0.weight"].shape[1] == 13  # one scale beside the features
    assert not torch.equal(names["grid.table"][:100], names["fine_grid.table"][:100])


def test_grids_that_do_not_meet_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"language_split_resolution = 600 must be below"):
        from_flat({"field.language_grids": 2, "field.language_split_resolution": 600})
    from_flat({"field.language_grids": 1, "field.language_split_resolution": 600})  # not used then


def test_both_grids_learn() -> None:
    before, after = (mapped({"field.language_grids": 2, "field.language_levels": 4}, n).weights() for n in (0, 2))
    for name in ("language.grid.table", "language.fine_grid.table"):
        assert not np.array_equal(before[name], after[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"field.language_grids": 2, "field.language_levels": 6},
        {"train.clip_loss": "huber", "train.clip_weight": 0.1},
        {"train.language_at": "density", "train.samples": 24, "train.language_samples": 12},
    ],
    ids=["two_grids", "huber", "density"],
)
def test_language_is_learned_with_every_option(changes: dict[str, object]) -> None:
    mapper = mapped(changes, 100)
    ball, crate, table = (red_and_blue(mapper, p) for p in ((0.08, 0.05, 0.069), (-0.1, -0.06, 0.06), (0.2, -0.2, 0.0)))
    assert ball[0] > ball[1] + 0.1
    assert crate[1] > crate[0] + 0.2
    assert max(table) < 0.05


def test_language_by_density_never_looks_at_measured_depth() -> None:
    mapper = mapped({"train.language_at": "density", "train.language_samples": 5}, 10)
    language, frames = mapper.trainer.language, mapper.store.view()
    assert language is not None
    batch = draw_pixels(frames, 64, 0.0, np.random.default_rng(0))
    t, weights = language._samples(batch)
    assert t.shape == weights.shape == (len(batch), 5)
    assert (np.diff(weights, axis=1) <= 0).all()  # the five heaviest
    assert (weights.sum(axis=1) < 1).all()
    surface = mapped({}, 0)
    assert surface.trainer.language is not None
    t, weights = surface.trainer.language._samples(batch)
    assert t[:, 0] * batch.rays.z_per_t == pytest.approx(batch.depth_m, rel=1e-5)
    assert set(weights.ravel().tolist()) <= {0.0, 1.0}


def test_weight_decay_is_in_the_gradient_of_what_was_touched() -> None:
    plain, decayed = (mapped({"train.weight_decay": d}, 4).weights() for d in (0.0, 1.0))
    for name in ("language.net.0.weight", "language.grid.table"):
        assert np.abs(decayed[name]).mean() < np.abs(plain[name]).mean()
    assert np.array_equal(plain["radiance.grid.table"], decayed["radiance.grid.table"])


def paper() -> Config:
    """Return config/paper.yaml."""
    tree = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text(encoding="utf-8"))
    return from_dict(tree["/**/lerf"]["ros__parameters"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pyramid.border", "padded"), ("pyramid.min_tile", 0.05), ("pyramid.max_tile", 0.5), ("pyramid.levels", 7),
        ("field.language_levels", 32), ("field.language_features", 8), ("field.language_log2_table", 21),
        ("field.min_resolution", 16), ("field.language_max_resolution", 512), ("field.language_hidden", 256),
        ("field.language_layers", 3), ("train.language_at", "density"), ("train.samples", 48),
        ("train.language_samples", 24), ("train.clip_loss", "cosine"), ("train.clip_weight", 0.01),
        ("train.dino_weight", 1.0), ("train.weight_decay", 1e-9), ("train.language_grid_lr", 1e-2),
        ("train.language_network_lr", 1e-2), ("train.min_lr_ratio", 0.1), ("train.half_life_steps", 1505),
        ("query.rule", "peak"), ("query.scale_spacing", "linear"), ("query.scales", 30), ("query.min_scale_m", 0.0),
        ("query.max_scale_m", 2.0), ("surface.min_views", 5),
    ],
)  # fmt: skip
def test_the_paper_file_says_what_the_paper_does(key: str, value: object) -> None:
    assert get(paper(), key) == value


def test_a_step_of_the_paper_file_with_a_smaller_table_learns_with_all_its_parts() -> None:
    smaller = {
        **{key: get(CONFIG, key) for key in ("workspace.min_m", "workspace.max_m")}, "field.language_log2_table": 10,
        "train.rays": 64, "train.depth_rays": 64, "train.language_rays": 64, "encoder.regulariser": "none",
    }  # fmt: skip
    mapper = LerfMapper(from_flat(smaller, paper()), ColourEncoder())
    mapper.set_threads(1)
    for pose in ring(2):
        keyframe = mapper.prepare(render((BALL, CRATE), pose))
        assert keyframe is not None
        mapper.add(keyframe)
    reports = [mapper.step() for _ in range(25)]
    clip = [r.clip for r in reports if np.isfinite(r.clip)]
    assert clip[-1] < 0.7 * clip[0]
