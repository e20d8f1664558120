# SPDX-License-Identifier: Apache-2.0
"""The tiny-cuda-nn backend: its wiring against a stand-in for the library, itself where there is a GPU."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from analytic import Sphere, render, ring

from lerf_ros.config import from_flat
from lerf_ros.core.hashgrid import GridLayout, make_grid, make_optimiser
from lerf_ros.core.hashgrid.grids import HashGrid
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.errors import BackendError

CPU = torch.device("cpu")
LAYOUT = GridLayout(4, 2, 10, 4, 32)


class StandIn(torch.nn.Module):
    """What tinycudann.Encoding promises: one flat parameter of its own, looked up as the torch grid does."""

    extra = 0

    def __init__(self, n_input_dims: int, encoding_config: dict[str, Any]) -> None:
        super().__init__()
        assert n_input_dims == 3
        self._grid = make_grid(GridLayout(
            encoding_config["n_levels"], encoding_config["n_features_per_level"], encoding_config["log2_hashmap_size"],
            encoding_config["base_resolution"],
            round(encoding_config["base_resolution"] * encoding_config["per_level_scale"] ** (LAYOUT.levels - 1)),
        ), "torch", 9, Workers(1))  # fmt: skip
        self.params = torch.nn.Parameter(torch.zeros(self._grid.table.numel() + self.extra))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = {"table": self.params.view(self._grid.table.shape)}
        return torch.func.functional_call(self._grid, table, (x,)).half()


@pytest.fixture
def tinycudann(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    stand_in = type("Encoding", (StandIn,), {})
    monkeypatch.setitem(sys.modules, "tinycudann", SimpleNamespace(Encoding=stand_in))
    return stand_in


def _look_up(grid: HashGrid, points: torch.Tensor) -> torch.Tensor:
    out = grid(points)
    out.square().sum().backward()
    return out.detach()


def test_it_looks_up_and_trains_our_own_table(tinycudann: type[StandIn]) -> None:
    points = torch.rand(300, 3, generator=torch.Generator().manual_seed(0))
    ours, theirs = make_grid(LAYOUT, "tcnn", 3, Workers(1), CPU), make_grid(LAYOUT, "torch", 3, Workers(1))
    torch.testing.assert_close(_look_up(ours, points), _look_up(theirs, points), rtol=2e-3, atol=1e-5)
    assert ours.table.grad is not None
    torch.testing.assert_close(ours.table.grad, theirs.table.grad, rtol=5e-3, atol=1e-5)
    assert ours(points).dtype == torch.float32


def test_its_table_opens_in_the_other_backends(tinycudann: type[StandIn]) -> None:
    saved = make_grid(LAYOUT, "tcnn", 3, Workers(1), CPU).state_dict()
    assert list(saved) == ["table"]
    for backend in ("numba", "torch"):
        other = make_grid(LAYOUT, backend, 4, Workers(1))
        other.load_state_dict(saved)
        assert torch.equal(other.table, saved["table"])


def test_another_layout_is_refused(tinycudann: type[StandIn]) -> None:
    tinycudann.extra = 8
    with pytest.raises(BackendError, match="laid out differently"):
        make_grid(LAYOUT, "tcnn", 3, Workers(1), CPU)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["torch", "tcnn"])
def test_on_a_gpu_values_and_gradients_are_those_of_the_cpu(backend: str) -> None:
    if backend == "tcnn":
        pytest.importorskip("tinycudann")
    points = torch.rand(4096, 3, generator=torch.Generator().manual_seed(0))
    there = make_grid(LAYOUT, backend, 3, Workers(1), torch.device("cuda"))
    here = make_grid(LAYOUT, "numba", 3, Workers(1))
    torch.testing.assert_close(_look_up(there, points.cuda()).cpu(), _look_up(here, points), rtol=2e-3, atol=1e-4)
    assert there.table.grad is not None
    torch.testing.assert_close(there.table.grad.cpu(), here.table.grad, rtol=1e-2, atol=1e-3)
    optimiser = make_optimiser(there, Workers(1))
    optimiser.step(1e-2)
    assert there.table.grad is None


@pytest.mark.gpu
def test_a_scene_is_learned_on_a_gpu_and_its_map_is_on_the_host() -> None:
    box = {"workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3)}
    mapper = LerfMapper(from_flat({**box, "field.device": "cuda", "field.log2_table": 14}), None)
    for k, pose in enumerate(ring(6)):
        keyframe = mapper.prepare(render([Sphere((0.0, 0.0, 0.05), 0.05, (200, 30, 30))], pose, stamp_ns=k))
        assert keyframe is not None
        mapper.add(keyframe)
    losses = [mapper.step().photometric for _ in range(200)]
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:20])
    assert all(isinstance(v, np.ndarray) for v in mapper.weights().values())
