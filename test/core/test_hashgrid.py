# SPDX-License-Identifier: Apache-2.0
"""The fast hash grid against hand-worked numbers and against its slow twin, values and gradients."""

import numpy as np
import pytest
import torch

from lerf_ros.core.hashgrid import GridLayout, TableAdam, make_grid
from lerf_ros.core.hashgrid.grids import HashGrid
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.errors import BackendError, ConfigError

LAYOUTS = [
    GridLayout(6, 2, 10, 4, 64), GridLayout(4, 4, 8, 8, 128), GridLayout(3, 8, 9, 4, 32),
    GridLayout(2, 2, 17, 50, 256),  # large enough for rows to be prefetched; dense, and hashed
]  # fmt: skip


def pair(layout: GridLayout, threads: int) -> tuple[HashGrid, HashGrid]:
    fast = make_grid(layout, "numba", 3, Workers(threads))
    slow = make_grid(layout, "torch", 3, Workers(1))
    return fast, slow


def test_layout_follows_tiny_cuda_nn_by_hand() -> None:
    # b = (64/16)**(1/2) = 2: scales 16*1-1, 16*2-1, 16*4-1; vertices a side 16, 32, 64.
    layout = GridLayout(levels=3, features=2, log2_table=13, min_resolution=16, max_resolution=64)
    np.testing.assert_allclose(layout.scale, [15, 31, 63], rtol=1e-6)
    assert layout.resolution.tolist() == [16, 32, 64]
    # 16^3 = 4096 <= 8192 is dense; 32^3 and 64^3 are hashed into 8192 rows.
    assert layout.size.tolist() == [4096, 8192, 8192]
    assert layout.offset.tolist() == [0, 4096, 12288]


def test_dense_rows_are_rounded_up_to_eight() -> None:
    assert GridLayout(1, 2, 10, 3, 3).size.tolist() == [32]  # 3^3 = 27 -> 32


def test_a_vertex_returns_its_own_row() -> None:
    layout = GridLayout(1, 2, 12, 8, 8)
    for backend in ("numba", "torch"):
        grid = make_grid(layout, backend, 0, Workers(1))
        # position = x * 7 + 0.5; x = 2.5/7 puts it on vertex 3 of the x axis: row 3 + 8*1 + 64*2 for (3, 1, 2).
        x = torch.tensor([[2.5, 0.5, 1.5]]) / 7.0
        np.testing.assert_allclose(grid(x).detach()[0], grid.table.detach()[3 + 8 * 1 + 64 * 2], atol=1e-6)


def test_hashed_row_by_hand() -> None:
    layout = GridLayout(1, 2, 4, 8, 8)  # 512 vertices into 16 rows
    grid = make_grid(layout, "numba", 0, Workers(1))
    row = (3 ^ (1 * 2_654_435_761 % 2**32) ^ (2 * 805_459_861 % 2**32)) % 16
    x = torch.tensor([[2.5, 0.5, 1.5]]) / 7.0
    np.testing.assert_allclose(grid(x).detach()[0], grid.table.detach()[row], atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("threads", [1, 2])
def test_fast_equals_slow_in_values_and_gradients(layout: GridLayout, threads: int) -> None:
    fast, slow = pair(layout, threads)
    x = torch.rand(500, 3, generator=torch.Generator().manual_seed(1))
    direction = torch.randn(500, layout.width, generator=torch.Generator().manual_seed(2))
    (fast(x) * direction).sum().backward()
    (slow(x) * direction).sum().backward()
    torch.testing.assert_close(fast(x), slow(x), atol=2e-6, rtol=1e-4)
    assert fast.table.grad is not None
    assert slow.table.grad is not None
    torch.testing.assert_close(fast.table.grad, slow.table.grad, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_of_points_equals_autograd_of_the_slow_twin(layout: GridLayout) -> None:
    fast, slow = pair(layout, 2)
    x = torch.rand(200, 3, generator=torch.Generator().manual_seed(1))
    direction = torch.randn(200, layout.width, generator=torch.Generator().manual_seed(2))
    gradients = []
    for grid in (fast, slow):
        points = x.clone().requires_grad_()
        (grid(points) * direction).sum().backward()
        assert points.grad is not None
        gradients.append(points.grad)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-3, rtol=1e-3)


def test_gradient_does_not_depend_on_threads() -> None:
    grads = []
    for threads in (1, 2, 3):
        grid = make_grid(LAYOUTS[0], "numba", 3, Workers(threads))
        x = torch.rand(301, 3, generator=torch.Generator().manual_seed(1))
        grid(x).square().sum().backward()
        assert grid.table.grad is not None
        grads.append(grid.table.grad.clone())
    assert torch.equal(grads[0], grads[1])
    assert torch.equal(grads[0], grads[2])


def test_points_outside_the_cube_are_clamped() -> None:
    grid = make_grid(LAYOUTS[0], "numba", 0, Workers(1))
    outside, edge = torch.tensor([[-5.0, 0.5, 9.0]]), torch.tensor([[0.0, 0.5, 1.0]])
    torch.testing.assert_close(grid(outside), grid(edge))


def test_points_that_are_not_numbers_reach_no_memory_but_their_levels() -> None:
    # Vertices of them are anything; 50^3 = 125,000 rows of the first level are stored densely, not hashed.
    layout = LAYOUTS[3]
    grid = make_grid(layout, "numba", 0, Workers(1))
    x = torch.full((300, 3), 0.5)
    x[7] = torch.tensor([float("nan"), 0.5, float("inf")])
    encoded = grid(x)
    encoded.nan_to_num().sum().backward()
    assert encoded.isfinite()[:7].all()
    assert encoded.isfinite()[8:].all()
    assert grid.table.grad is not None
    assert grid.table.grad.shape == grid.table.shape


def test_table_adam_equals_torch_adam_on_touched_rows_and_leaves_the_rest() -> None:
    layout = GridLayout(1, 2, 12, 8, 8)
    grid = make_grid(layout, "numba", 0, Workers(2))
    reference = torch.nn.Parameter(grid.table.detach().clone())
    start = reference.detach().clone()
    ours, theirs = TableAdam(grid, Workers(2)), torch.optim.Adam([reference], lr=1e-2, betas=(0.9, 0.99), eps=1e-15)
    gradient = torch.zeros_like(reference)
    gradient[5:9] = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        grid.table.grad = gradient.clone()
        reference.grad = gradient.clone()
        ours.step(1e-2)
        theirs.step()
    torch.testing.assert_close(grid.table[5:9], reference[5:9])
    assert torch.equal(grid.table[9:], start[9:])
    assert grid.table.grad is not None
    assert not grid.table.grad.any()


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("layout", [LAYOUTS[1], GridLayout(2, 8, 18, 8, 128)], ids=["looked_through", "marked"])
def test_table_adam_equals_its_dense_twin(layout: GridLayout, decay: float) -> None:
    # The second layout's fine level is large enough (8 MB) for the rows that are touched to be marked.
    grid = make_grid(layout, "numba", 0, Workers(2))
    adam = TableAdam(grid, Workers(2), decay)
    p = grid.table.detach().numpy().copy()
    m, v = np.zeros_like(p), np.zeros_like(p)
    generator = torch.Generator().manual_seed(0)
    for step in (1, 2, 3):
        (grid(torch.rand(40, 3, generator=generator)) ** 2).sum().backward()
        assert grid.table.grad is not None
        g = grid.table.grad.numpy().copy()
        touched = g != 0
        g += np.float32(decay) * p
        m[touched] = 0.9 * m[touched] + 0.1 * g[touched]
        v[touched] = 0.99 * v[touched] + 0.01 * g[touched] ** 2
        change = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.99**step)) + 1e-15)
        p[touched] -= 0.01 * change[touched]
        adam.step(0.01)
        assert not grid.table.grad.any()
        np.testing.assert_allclose(grid.table.detach().numpy(), p, rtol=1e-4, atol=1e-6)
    assert 0 < touched.sum() < p.size


def test_marks_cover_the_gradient_and_little_else() -> None:
    grid = make_grid(GridLayout(1, 8, 18, 128, 128), "numba", 0, Workers(1))
    grid(torch.rand(10, 3, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert grid.table.grad is not None
    found = grid.table.grad.view(-1, 128, 8).ne(0).any(-1).any(-1).numpy()
    np.testing.assert_array_equal(grid.marks() > 0, found)
    assert 0 < found.sum() <= 80
    grid.table.grad = grid.table.grad.clone()  # somebody else's: nothing is known of it
    assert grid.marks().all()


def test_unknown_backend_and_absent_library_say_what_to_do() -> None:
    with pytest.raises(BackendError, match="choose numba"):
        make_grid(LAYOUTS[0], "cuda", 0, Workers(1))
    if not torch.cuda.is_available():
        with pytest.raises(BackendError, match="tinycudann"):
            make_grid(LAYOUTS[0], "tcnn", 0, Workers(1))


def test_odd_number_of_features_is_refused() -> None:
    with pytest.raises(ConfigError, match="even number"):
        GridLayout(2, 3, 8, 4, 8)
