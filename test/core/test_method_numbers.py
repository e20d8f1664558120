# SPDX-License-Identifier: Apache-2.0
"""Every formula of the method on numbers worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from analytic import CAMERA, Sphere, look_at, render, ring
from colour_encoder import ColourEncoder
from known_scene import surface_of

from lerf_ros.config import Config, PyramidConfig, from_flat
from lerf_ros.core import losses, rendering
from lerf_ros.core.batches import draw_pixels
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.field import LanguageField
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.language import physical_scale
from lerf_ros.core.mapper import query_scales
from lerf_ros.core.pyramid import build_pyramid, tile_grid
from lerf_ros.core.pyramid_bank import PyramidBank
from lerf_ros.core.relevancy import relevancy
from lerf_ros.core.trainer import Trainer, rate_ratio

LERF_TILES = PyramidConfig(min_tile=0.05, max_tile=0.5, levels=7)
BALL = Sphere((0.08, 0.05, 0.035), 0.035)
SMALL = from_flat(
    {
        "workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3), "train.rays": 128,
        "train.depth_rays": 128, "train.language_rays": 64, "train.language_samples": 3, "train.language_at": "density",
    }
)  # fmt: skip


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def with_a_surface(config: Config, steps: int = 30) -> tuple[Trainer, list[Keyframe]]:
    """Return a trainer that has seen two views for so long that its rays end somewhere."""
    torch.set_num_threads(1)
    trainer = Trainer(config, ColourEncoder.embed_dim)
    images = [render((BALL,), pose) for pose in ring(2)]
    frames = [Keyframe.of(k, i, build_pyramid(ColourEncoder(), i.rgb, config.pyramid)) for k, i in enumerate(images)]
    for frame in frames:
        trainer.add(frame)
    for _ in range(steps):
        trainer.step(frames)
    return trainer, frames


def test_tiles_are_seven_shares_of_the_height() -> None:
    # 0.05 + 0.45 t for t = 0, 1/6, ... 1, of 1000 pixels
    assert tile_grid(1600, 1000, LERF_TILES).tile_px.tolist() == [50, 125, 200, 275, 350, 425, 500]


def test_tiles_lie_a_whole_tile_apart_at_a_share_of_005_and_half_a_tile_from_015_on() -> None:
    # strides 50, 0.625 * 125, and 100, 137.5, 175, 212.5, 250: tiles needed to reach from edge to edge of 1000 pixels
    grid = tile_grid(1000, 1000, LERF_TILES)
    assert grid.nx.tolist() == [20, 13, 9, 7, 5, 4, 3]
    assert grid.ny.tolist() == grid.nx.tolist()


def test_the_scale_grows_with_depth_and_tile_and_is_each_cameras_own() -> None:
    # 60 px at 0.5 m and f = 300 px see 10 cm; twice as far 20 cm; with f = 600 px half of that
    z = np.array([[0.5, 1.0], [0.5, 1.0]], np.float32)
    assert physical_scale(column(60, 60), z, column(300, 600)) == pytest.approx(
        np.array([[0.10, 0.20], [0.05, 0.10]]), rel=1e-6
    )


def test_the_tile_between_two_levels_is_theirs_in_proportion() -> None:
    wide = dataclasses.replace(CAMERA, height=200, width=300, cx=149.5, cy=99.5)
    image = render((BALL,), look_at((0.3, 0.0, 0.4), (0, 0, 0)), camera=wide)
    bank = PyramidBank()
    bank.add(0, build_pyramid(ColourEncoder(), image.rgb, LERF_TILES))
    # 200 px high: 10, 25, 40, ... ; a quarter of the way from 25 to 40 is 28.75
    assert bank.tile_px(np.array([0, 0, 0]), column(0, 1.25, 6)) == pytest.approx(np.array([10, 28.75, 100]))


def test_weights_are_the_chances_of_ending_at_each_sample() -> None:
    # optical depths ln 2 and ln 4: half ends at the first, three quarters of the rest at the second
    density = torch.tensor([[math.log(2.0), math.log(4.0)]])
    found = rendering.render_weights(density, torch.ones(1, 2))
    assert found[0].tolist() == pytest.approx([0.5, 0.375])


def test_only_the_heaviest_samples_count_and_their_weights_stay_as_they_are() -> None:
    weights, index = rendering.top_samples(torch.tensor([[0.1, 0.5, 0.05, 0.3]]), 2)
    assert weights[0].tolist() == pytest.approx([0.5, 0.3])  # their sum is 0.8: not renormalised
    assert index[0].tolist() == [1, 3]


def test_embeddings_become_a_unit_vector_after_the_sum() -> None:
    # 0.6 of x and 0.2 of y (0.2 of the ray is missing): direction (3, 1), length 1
    summed = rendering.composite_unit(torch.tensor([[0.6, 0.2]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    assert summed[0].tolist() == pytest.approx([3 / math.sqrt(10), 1 / math.sqrt(10)])
    plain = rendering.composite(torch.tensor([[0.6, 0.2]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    assert plain[0].tolist() == pytest.approx([0.6, 0.2])


def test_every_sample_is_a_unit_vector_before_the_sum() -> None:
    box = SceneBox.of(SMALL.workspace)
    field = LanguageField(SMALL.field, box, 6, Workers(), seed=1)
    points = torch.rand(20, 3) * 0.4 - 0.2
    lengths = field(points, torch.full((20,), 0.1)).norm(dim=-1)
    assert lengths.detach().numpy() == pytest.approx(np.ones(20), abs=1e-5)


def test_cosine_loss_and_huber_loss() -> None:
    predicted = torch.tensor([[1.0, 0.0]])
    unit, short, opposite = torch.tensor([[0.6, 0.8]]), torch.tensor([[0.3, 0.4]]), torch.tensor([[-1.0, 0.0]])
    assert float(losses.clip_similarity(predicted, unit)) == pytest.approx(0.4)
    assert float(losses.clip_similarity(predicted, short)) == pytest.approx(0.4)  # length does not matter to it
    # (0.4^2 + 0.8^2) / 2: between unit vectors that differ by less than 1.25 it is 1 - cosine
    assert float(losses.clip_huber(predicted, unit)) == pytest.approx(0.4)
    assert float(losses.clip_huber(predicted, short)) == pytest.approx((0.7**2 + 0.4**2) / 2)
    # a component that differs by 2 is on the straight part: 1.25 * (2 - 1.25 / 2)
    assert float(losses.clip_huber(predicted, opposite)) == pytest.approx(1.71875)
    both = losses.clip_huber(predicted.expand(2, 2), torch.cat([unit, opposite]))
    assert float(both) == pytest.approx((0.4 + 1.71875) / 2)  # summed over dimensions, mean over rays


def test_patch_loss_is_summed_over_dimensions_and_mean_over_rays() -> None:
    predicted, target = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert float(losses.patch_features(predicted, target)) == pytest.approx((5 + 25) / 2)


def test_rates_fall_from_a_hundredth_to_a_thousandth_in_five_thousand_steps_and_stay() -> None:
    train = from_flat({"train.half_life_steps": 1505, "train.min_lr_ratio": 0.1}).train
    assert [1e-2 * rate_ratio(train, n) for n in (0, 2500, 5000, 30_000)] == pytest.approx(
        [1e-2, 1e-2 / math.sqrt(10), 1e-3, 1e-3], rel=1e-3
    )


def test_relevancy_is_the_worst_pairing_with_a_factor_of_ten() -> None:
    # e.q = 0.3; the canonical phrases 0.25 and -0.4: the nearer decides, sigmoid(10 * 0.05)
    axes = torch.eye(4)
    embedding = torch.tensor([0.3, 0.25, -0.4, math.sqrt(1 - 0.3**2 - 0.25**2 - 0.4**2)])
    score = relevancy(embedding[None, None], axes[:1], axes[1:3])
    assert float(score) == pytest.approx(1 / (1 + math.exp(-0.5)), rel=1e-6)
    alike = relevancy(torch.tensor([[[0.6, 0.6, 0.0, math.sqrt(1 - 0.72)]]]), axes[:1], axes[1:3])
    assert float(alike) == pytest.approx(0.5)


def test_thirty_scales_from_zero_to_two_metres() -> None:
    query = from_flat(
        {"query.scale_spacing": "linear", "query.scales": 30, "query.min_scale_m": 0.0, "query.max_scale_m": 2.0}
    ).query
    found = query_scales(query)
    assert len(found) == 30
    assert found[[0, 1, 29]].tolist() == pytest.approx([0.0, 2 / 29, 2.0])
    assert query_scales(from_flat({}).query) == pytest.approx(np.geomspace(0.05, 0.35, 5), rel=1e-6)


def test_points_of_four_views_are_not_answered_with_where_five_are_asked_for() -> None:
    surface = surface_of((), views=7)
    assert 0 < surface.answerable(5).sum() < len(surface)
    counted = dataclasses.replace(surface, views=np.resize(np.array([1, 4, 5, 30], np.int32), len(surface)))
    assert counted.answerable(5)[:4].tolist() == [False, False, True, True]


def test_language_teaches_density_nothing_but_what_it_renders_depends_on_it() -> None:
    trainer, frames = with_a_surface(SMALL)
    before = {name: value.clone() for name, value in trainer.radiance.field.state_dict().items()}
    language = trainer.language
    assert language is not None
    table = language.field.grid.table.detach().clone()
    batch = draw_pixels(frames, 64, 0.0, np.random.default_rng(0))
    assert language.step(batch, 1.0) is not None
    gradients = [p.grad for p in trainer.radiance.field.parameters()]
    assert all(g is None or not g.any() for g in gradients)  # exactly zero
    assert all(torch.equal(before[name], value) for name, value in trainer.radiance.field.state_dict().items())
    assert not torch.equal(table, language.field.grid.table)  # language itself did learn


def test_the_weight_of_the_language_loss_alone_changes_nothing() -> None:
    # Adam divides by the gradient's own size: 0.01 (paper) or 0.1 (code) matter only relative to the DINO loss.
    tables = []
    for weight in (1.0, 2.0**-7):
        trainer, _ = with_a_surface(from_flat({"train.clip_weight": weight, "train.language_at": "auto"}, SMALL), 3)
        assert trainer.language is not None
        tables.append(trainer.language.field.grid.table.detach().numpy().copy())
    assert np.abs(tables[0] - tables[1]).max() < 1e-4
    assert np.abs(tables[0]).max() > 0.02  # some steps of 0.01 beyond the initial range: it did learn


def test_two_cameras_of_different_focal_length_get_scales_of_their_own() -> None:
    pose = look_at((0.0, -0.4, 0.4), (0, 0, 0))
    near, far = CAMERA, Intrinsics(320, 240, 560.0, 560.0, 159.5, 119.5)
    frames = [Keyframe.of(k, render((), pose, camera=c)) for k, c in enumerate((near, far))]
    batch = draw_pixels(frames, 64, 0.0, np.random.default_rng(0))
    assert {280.0, 560.0} == set(batch.focal_px.tolist())
    assert all(batch.focal_px[i] == (280.0, 560.0)[batch.frames[batch.frame[i]].id] for i in range(len(batch)))
