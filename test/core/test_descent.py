# SPDX-License-Identifier: Apache-2.0
"""Steps that must not be taken leave everything as it was, bit for bit, and are counted; the next one is taken."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from analytic import Sphere, render, ring
from colour_encoder import ColourEncoder

from lerf_ros.config import from_flat
from lerf_ros.core.batches import PixelBatch, draw_pixels
from lerf_ros.core.descent import Descent, Rate
from lerf_ros.core.hashgrid import GridLayout, TableAdam, make_grid
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.pyramid import build_pyramid
from lerf_ros.core.trainer import Trainer
from lerf_ros.errors import ConfigError

SMALL = from_flat(
    {
        "workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3), "train.rays": 64,
        "train.depth_rays": 64, "train.language_rays": 64, "field.log2_table": 10, "field.language_log2_table": 10,
    }
)  # fmt: skip
NAN, INF = float("nan"), float("inf")


def trained() -> tuple[Trainer, list[Keyframe], PixelBatch]:
    """Return a trainer after two steps, its keyframes, and a batch for the next."""
    torch.set_num_threads(1)
    trainer = Trainer(SMALL, ColourEncoder.embed_dim)
    images = [render((Sphere((0.08, 0.05, 0.035), 0.035),), pose) for pose in ring(2)]
    frames = [Keyframe.of(k, i, build_pyramid(ColourEncoder(), i.rgb, SMALL.pyramid)) for k, i in enumerate(images)]
    for frame in frames:
        trainer.add(frame)
    for _ in range(2):
        trainer.step(frames)
    return trainer, frames, draw_pixels(frames, 64, 0.0, np.random.default_rng(0))


def state(descent: Descent, module: torch.nn.Module) -> list[bytes]:
    """Return all that a step may change: weights, and the moments of either kind of Adam."""
    arrays = [value.numpy() for value in module.state_dict().values()]
    arrays += [value.numpy() for each in descent._adam.state.values() for value in each.values()]
    for table in descent._tables:
        arrays += [table._m, table._v, np.array(table._steps)]
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("poison", [NAN, INF])
def test_a_colour_that_is_no_number_changes_nothing_and_the_next_batch_does(poison: float) -> None:
    trainer, _, batch = trained()
    radiance, slots = trainer.radiance, np.zeros(len(batch), np.int64)
    colour = batch.colour.copy()
    colour[np.flatnonzero(batch.trainable)[0], 1] = poison
    before = state(radiance._descent, radiance.field)
    radiance.step(replace(batch, colour=colour), slots, 1.0)
    assert state(radiance._descent, radiance.field) == before
    assert trainer.skipped == radiance.skipped == 1
    radiance.step(batch, slots, 1.0)
    assert state(radiance._descent, radiance.field) != before
    assert trainer.skipped == 1
    assert all(bool(value.isfinite().all()) for value in radiance.field.state_dict().values())


def test_a_poisoned_weight_spoils_no_other_one_and_every_report_says_so() -> None:
    trainer, frames, _ = trained()
    with torch.no_grad():
        trainer.radiance.field.colour_net[1].weight[0, 0] = NAN
    before = state(trainer.radiance._descent, trainer.radiance.field)
    reports = [trainer.step(frames) for _ in range(2)]
    assert state(trainer.radiance._descent, trainer.radiance.field) == before
    assert [report.skipped for report in reports] == [1, 2]
    assert np.isfinite(reports[-1].clip)  # the language goes on learning


def test_a_language_target_that_is_no_number_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, _, batch = trained()
    language = trainer.language
    assert language is not None
    lookup = language.bank.lookup
    before = state(language._descent, language.field)
    with monkeypatch.context() as patch:
        patch.setattr(language.bank, "lookup", lambda *place: lookup(*place) * np.float32(NAN))
        assert language.step(batch, 1.0) is not None
    assert state(language._descent, language.field) == before
    assert trainer.skipped == 1
    language.step(batch, 1.0)
    assert state(language._descent, language.field) != before


def test_a_finite_loss_with_an_infinite_gradient_is_skipped() -> None:
    grid = make_grid(GridLayout(2, 2, 8, 4, 8), "numba", 0, Workers(1))
    net = torch.nn.Linear(4, 1)
    descent = Descent([Rate(list(net.parameters()), 1e-2)], [TableAdam(grid, Workers(1))], 1e-2)
    before = grid.table.detach().clone()
    # The root of exactly zero has no finite slope.
    hidden = net(grid(torch.rand(20, 3)))
    loss = (hidden - hidden.detach()).abs().sum().sqrt() + hidden.sum() * 0
    assert float(loss.detach()) == 0.0
    assert not descent.step(loss, 1.0)
    assert torch.equal(grid.table, before)
    assert grid.table.grad is not None
    assert not grid.table.grad.any()
    assert descent.skipped == 1


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused(threads: int) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.threads to 1 or more"):
        Workers(threads)
    workers = Workers(1)
    with pytest.raises(ConfigError):
        workers.threads = threads
    with pytest.raises(ConfigError, match=r"runtime\.threads"):
        from_flat({"runtime.threads": threads})
