# SPDX-License-Identifier: Apache-2.0
"""The synthetic table has the geometry it says, and what the peer is given shows the same rays."""

from pathlib import Path

import numpy as np
import pytest

from bench.captures import mean_psnr_db, thinned, write_capture
from bench.mapped import config_for, images_for, point_name
from bench.parts.hashgrid import bytes_moved
from bench.parts.memory import slope
from bench.phrases import new_phrases
from bench.scene import VGA, Ball, balls, poses, render, scene_config
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.hashgrid import GridLayout
from lerf_ros.core.surface import SurfaceBuilder

SMALL = VGA.scaled(80, 60)
LOOKS_DOWN = np.array([[1.0, 0, 0, 0.1], [0, -1, 0, 0.2], [0, 0, -1, 0.8], [0, 0, 0, 1]])


def test_depth_of_the_table_and_of_a_ball_seen_from_above() -> None:
    image = render(LOOKS_DOWN, SMALL, [Ball((0.1, 0.2, 0.05), 0.05, (255, 0, 0))], 7)
    depth = image.depth_m
    assert depth is not None
    u, v = round(SMALL.cx), round(SMALL.cy)
    np.testing.assert_allclose(depth[v, u], 0.7, atol=1e-3)  # the top of the ball is 0.1 m high
    np.testing.assert_allclose(depth[0, 0], 0.8, atol=1e-6)
    assert image.rgb[v, u, 1] == 0
    assert image.rgb[0, 0, 1] > 0


def test_a_ball_behind_the_camera_is_not_seen() -> None:
    without = render(LOOKS_DOWN, SMALL, [], 0)
    behind = render(LOOKS_DOWN, SMALL, [Ball((0.1, 0.2, 1.2), 0.1, (255, 0, 0))], 0)
    np.testing.assert_array_equal(without.rgb, behind.rgb)
    np.testing.assert_array_equal(without.depth_m, behind.depth_m)


def test_all_views_see_the_table_around_its_middle() -> None:
    for pose in poses(50):
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
        towards = np.array([0, 0, 0.02]) - pose[:3, 3]
        np.testing.assert_allclose(pose[:3, 2], towards / np.linalg.norm(towards), atol=1e-12)
    assert len({tuple(pose[:3, 3].round(4)) for pose in poses(200)}) == 200


def test_a_surface_has_about_as_many_points_as_asked_for() -> None:
    images = images_for(3000, 6)
    config = config_for(3000, images, {"train.rays": 64})
    builder = SurfaceBuilder(config.surface, config.workspace)
    for image in images:
        assert image.depth_m is not None
        builder.add(image, image.depth_m)
    assert len(builder.build()) == pytest.approx(3000, rel=0.03)
    assert config.train.rays == 64


def test_the_peer_is_given_the_same_rays(tmp_path: Path) -> None:
    """A world point seen at an integer pixel of ours lies on the peer's ray through that pixel's middle."""
    config = scene_config()
    image = render(poses(3)[2], SMALL, balls(), 5_000_000_000)
    scale = write_capture(tmp_path / "c.npz", [image], config.workspace)
    data = np.load(tmp_path / "c.npz")
    u, v = 17, 41
    assert image.depth_m is not None
    world = image.T_world_cam[:3, :3] @ (image.intrinsics.unproject(np.array([17.0]), np.array([41.0]))[0]
                                         * image.depth_m[v, u]) + image.T_world_cam[:3, 3]  # fmt: skip
    box = SceneBox.of(config.workspace)
    assert scale == box.half_m
    scene = (world - box.centre) / scale
    fx, fy, cx, cy = data["camera"]
    ray = data["c2w"][0][:, :3] @ np.array([(u + 0.5 - cx) / fx, -(v + 0.5 - cy) / fy, -1.0])
    to = scene - data["c2w"][0][:, 3]
    np.testing.assert_allclose(np.cross(ray / np.linalg.norm(ray), to / np.linalg.norm(to)), 0, atol=1e-5)
    assert ray @ to > 0
    assert data["stamp"] == [5.0]


def test_psnr_is_the_mean_over_views() -> None:
    image = render(LOOKS_DOWN, SMALL, [], 0)
    truth = image.rgb.astype(np.float32) / 255
    # errors of 0.1 and 0.01 everywhere: 20 and 40 dB
    assert mean_psnr_db([truth + 0.1, truth + 0.01], [image.rgb, image.rgb]) == pytest.approx(30.0, abs=1e-3)


def test_thinned_pixels_are_those_in_the_middle_of_their_blocks() -> None:
    rows, columns = np.mgrid[0:60, 0:80]
    np.testing.assert_array_equal(thinned(rows, 3)[:, 0], np.arange(1, 60, 3))
    np.testing.assert_array_equal(thinned(columns, 3)[0], np.arange(1, 80, 3))


def test_phrases_do_not_repeat() -> None:
    phrases = new_phrases(3)
    first = [next(phrases) for _ in range(2880)]
    assert len(set(first)) == 2880
    assert next(phrases) == first[0]


def test_bytes_of_a_hash_grid_by_hand() -> None:
    layout = GridLayout(2, 2, 12, 16, 32)
    # a point: 8 rows x 2 levels x 8 bytes = 128; point 12 and encoding 16 bytes
    assert bytes_moved(layout, 10, "fwd") == 10 * (128 + 28)
    assert bytes_moved(layout, 10, "bwd") == 10 * (256 + 28)
    assert bytes_moved(layout, 10, "fwd_bwd") == 10 * (384 + 56)


def test_the_slope_of_a_line() -> None:
    assert slope([(50, 110.0), (100, 210.0), (200, 410.0)]) == pytest.approx(2.0)


def test_names_of_sizes() -> None:
    assert [point_name(n) for n in (10_000, 100_000, 1_000_000)] == ["10k", "100k", "1M"]
