# SPDX-License-Identifier: Apache-2.0
"""Two pinhole cameras before surfaces whose depth is known in closed form from either."""

import numpy as np
import pytest
from jaxtyping import Bool, Float32, Float64

from lerf_ros.core.geometry import Intrinsics, invert
from lerf_ros.core.registration import MAX_FOOTPRINT_PX, register_depth

DEPTH = Intrinsics(160, 120, 130.0, 128.0, 79.0, 60.5)
COLOR = Intrinsics(200, 140, 170.0, 171.0, 98.0, 71.0)


def moved(
    x: float = 0.0, y: float = 0.0, z: float = 0.0, turn: float = 0.0, axis: int = 1
) -> Float64[np.ndarray, "4 4"]:
    T = np.eye(4)
    a, b = (k for k in range(3) if k != axis)
    T[a, a] = T[b, b] = np.cos(turn)
    T[a, b], T[b, a] = np.sin(turn), -np.sin(turn)
    T[:3, 3] = x, y, z
    return T


def plane(
    camera: Intrinsics, T_depth_cam: Float64[np.ndarray, "4 4"], normal: tuple[float, ...], distance_m: float
) -> Float64[np.ndarray, "H W"]:
    """z-depth of the plane n.p = d (given in the depth camera's frame) as `camera` measures it; 0 where behind."""
    v, u = np.mgrid[: camera.height, : camera.width].astype(float)
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
    n = np.array(normal) / np.linalg.norm(normal)
    z = (distance_m - n @ T_depth_cam[:3, 3]) / (rays @ T_depth_cam[:3, :3].T @ n)
    return np.where(z > 0, z, 0)


def seen_by_both(T_depth_color: Float64[np.ndarray, "4 4"], z: Float64[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Colour pixels whose point also lies well inside the depth image."""
    v, u = np.mgrid[: COLOR.height, : COLOR.width].astype(float)
    points = np.stack([(u - COLOR.cx) / COLOR.fx * z, (v - COLOR.cy) / COLOR.fy * z, z], -1).reshape(-1, 3)
    du, dv, _ = DEPTH.project(points @ T_depth_color[:3, :3].T + T_depth_color[:3, 3])
    inside = (du > 0.6) & (du < DEPTH.width - 1.6) & (dv > 0.6) & (dv < DEPTH.height - 1.6)
    return np.asarray(inside.reshape(z.shape))


@pytest.mark.parametrize("normal", [(0, 0, 1), (0.6, 0, 1), (-0.5, 0.8, 1), (1.5, 0.3, 1)])
@pytest.mark.parametrize("T_color_depth", [
    np.eye(4), moved(x=0.06), moved(-0.02, 0.05, 0.01, 0.1), moved(0.03, 0, 0, 0.8, axis=2), moved(turn=np.pi, axis=2),
])  # fmt: skip
def test_a_plane_is_the_plane_that_the_colour_camera_sees(
    normal: tuple[float, ...], T_color_depth: Float64[np.ndarray, "4 4"]
) -> None:
    T_depth_color = invert(T_color_depth)
    measured = plane(DEPTH, np.eye(4), normal, 0.6).astype(np.float32)
    got = register_depth(measured, DEPTH, T_color_depth, COLOR)
    want = plane(COLOR, T_depth_color, normal, 0.6)
    common = seen_by_both(T_depth_color, want)
    common &= want < 1.2  # farther out the steepest one falls more than SAME_SURFACE from pixel to pixel
    assert common.sum() > 2000
    assert (got[common] > 0).mean() > 0.999, "no holes"
    both = common & (got > 0)
    # a depth pixel has one depth: half of what the plane does within it (and a rotated one is drawn as its box)
    slopes = np.hypot(*np.gradient(plane(DEPTH, np.eye(4), normal, 0.6)))
    slope = max(slopes.max(), np.hypot(*np.gradient(want))[common].max())
    assert np.abs(got - want)[both].max() < 1.5 * slope + 1e-5
    v, u = np.nonzero(got)
    back = np.stack([(u - COLOR.cx) / COLOR.fx, (v - COLOR.cy) / COLOR.fy, np.ones(len(u))], -1) * got[v, u][:, None]
    du, dv, _ = DEPTH.project(back @ T_depth_color[:3, :3].T + T_depth_color[:3, 3])
    assert du.min() > -2
    assert du.max() < DEPTH.width + 1
    assert dv.min() > -2
    assert dv.max() < DEPTH.height + 1


def box_before_wall(edge_m: float = 0.01) -> Float32[np.ndarray, "H W"]:
    """A box to the right of the plane x = edge, its face at 0.5 m, before a wall at 1 m, seen by the depth camera."""
    u = np.tile(np.arange(DEPTH.width, dtype=float), (DEPTH.height, 1))
    on_box = (u - DEPTH.cx) / DEPTH.fx * 0.5 >= edge_m
    return np.where(on_box, 0.5, 1.0).astype(np.float32)


@pytest.mark.parametrize("baseline_m", [0.05, -0.05])
def test_a_box_edge_hides_what_is_behind_it_and_shows_where_nothing_was_measured(baseline_m: float) -> None:
    got = register_depth(box_before_wall(), DEPTH, moved(x=baseline_m), COLOR)[60:80]
    edge_u = COLOR.cx + COLOR.fx * (0.01 + baseline_m) / 0.5  # of the box's edge
    wall_u = COLOR.cx + COLOR.fx * (0.01 / 0.5 + baseline_m)  # of what is seen right beside it, at 1 m
    u = np.arange(COLOR.width)
    last_wall = min(edge_u, wall_u)
    sure = u < COLOR.cx + COLOR.fx * (0.6 + baseline_m)
    assert (np.abs(got[:, (u > edge_u + 1.5) & sure & (u < edge_u + 60)] - 0.5) < 1e-6).all()
    walls = (u > COLOR.cx + COLOR.fx * (-0.58 + baseline_m)) & (u < last_wall - 1.5)
    assert walls.sum() > 20
    assert (np.abs(got[:, walls] - 1.0) < 1e-6).all()
    if baseline_m > 0:  # the face moves more than the wall: a strip of wall comes out from behind it, not measured
        hidden = (u > wall_u + 1.5) & (u < edge_u - 1.5)
        assert hidden.sum() > 4
        assert (got[:, hidden] == 0).all()
    else:
        covered = (u > edge_u + 1.5) & (u < wall_u - 1.5)
        assert covered.sum() > 4
        assert (np.abs(got[:, covered] - 0.5) < 1e-6).all(), "the nearer one wins"


def by_the_book(depth_m: Float32[np.ndarray, "H W"], T: Float64[np.ndarray, "4 4"]) -> Float32[np.ndarray, "H W"]:
    """The slow twin: each pixel's own depth at its corners, every colour pixel asked by itself."""
    out = np.zeros((COLOR.height, COLOR.width), np.float32)
    for row, column in zip(*np.nonzero(depth_m), strict=True):
        z = float(depth_m[row, column])
        us, vs, point = [], [], np.zeros(3)
        for dv, du in ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5), (0.0, 0.0)):
            point = np.array([(column + du - DEPTH.cx) / DEPTH.fx * z, (row + dv - DEPTH.cy) / DEPTH.fy * z, z])
            point = T[:3, :3] @ point + T[:3, 3]
            us.append(point[0] / point[2] * COLOR.fx + COLOR.cx)
            vs.append(point[1] / point[2] * COLOR.fy + COLOR.cy)
        for v in range(COLOR.height):
            for u in range(COLOR.width):
                inside = min(us) <= u < max(us) and min(vs) <= v < max(vs)
                if inside and (out[v, u] == 0 or point[2] < out[v, u]):
                    out[v, u] = point[2]
    return out


def test_lone_pixels_are_drawn_as_by_the_slow_twin() -> None:
    rng = np.random.default_rng(0)
    depth = np.zeros((DEPTH.height, DEPTH.width), np.float32)
    depth[rng.integers(0, 40, 40) * 3, rng.integers(0, 53, 40) * 3] = rng.uniform(0.3, 2.0, 40)
    T = moved(0.03, -0.02, 0.01, 0.1)
    np.testing.assert_allclose(register_depth(depth, DEPTH, T, COLOR), by_the_book(depth, T), atol=1e-6)


def test_another_size_of_the_same_view_is_that_view() -> None:
    small = COLOR.scaled(100, 70)
    depth = np.full((70, 100), 0.8, np.float32)
    np.testing.assert_allclose(register_depth(depth, small, np.eye(4), COLOR), 0.8, rtol=1e-6)


def test_what_is_behind_the_colour_camera_or_before_its_lens_is_left_out() -> None:
    depth = np.full((DEPTH.height, DEPTH.width), 0.5, np.float32)
    assert not register_depth(depth, DEPTH, moved(z=-0.6), COLOR).any()
    near = register_depth(depth, DEPTH, moved(z=-0.485), COLOR)  # each pixel would be drawn 40 times its size
    assert MAX_FOOTPRINT_PX == 64
    assert near.max() <= 0.0151
    assert not register_depth(depth, DEPTH, moved(z=-0.4899), COLOR).any()
    assert not register_depth(np.zeros_like(depth), DEPTH, np.eye(4), COLOR).any()
