# SPDX-License-Identifier: Apache-2.0
"""What a frame says of known points: a slow twin of the kernels, and scenes whose answers are known exactly."""

import dataclasses

import numpy as np
import pytest
from analytic import Box, Sphere, look_at, render, ring

from lerf_ros.config import ChangeConfig, SurfaceConfig, WorkspaceConfig
from lerf_ros.core import change
from lerf_ros.core.change import CONFIRMED, HIDDEN, THROUGH, UNKNOWN, WEAK, Margins
from lerf_ros.core.glance import LEAST_MEASURED, Glance
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.surface import SurfaceBuilder, SurfaceMap

WORKSPACE = WorkspaceConfig(min_m=(-0.3, -0.3, -0.05), max_m=(0.3, 0.3, 0.4))
MARGINS = Margins.of(ChangeConfig())
BOX = Box((0.0, 0.05, 0.04), (0.08, 0.08, 0.08), 0.0, (200, 30, 30))
MOVED = dataclasses.replace(BOX, centre=(0.0, -0.05, 0.04))  # by 10 cm
VOXEL = SurfaceConfig().voxel_m


def surface_of(solids: list[Box | Sphere], views: int = 8) -> SurfaceMap:
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    for k, pose in enumerate(ring(views)):
        image = render(solids, pose, stamp_ns=k + 1)
        assert image.depth_m is not None
        builder.add(image, image.depth_m)
    return builder.build()


def glance_of(image: PosedImage) -> Glance:
    glance = Glance.of(image)
    assert glance is not None
    return glance


def judged(surface: SurfaceMap, image: PosedImage) -> np.ndarray:
    return change.compare(surface.points, surface.normals, glance_of(image), MARGINS, surface.voxel_m).state


def slow_state(point: np.ndarray, normal: np.ndarray, glance: Glance, voxel_m: float) -> tuple[int, int]:
    """Return state and block of one point, block by block, from the definition."""
    p, n = glance.T_cam_world[:3, :3] @ point + glance.T_cam_world[:3, 3], glance.T_cam_world[:3, :3] @ normal
    fx, fy, cx, cy = glance.camera
    height, width = glance.near_m.shape
    if p[2] < 0.05 or p[2] / fx > change.COARSEST * voxel_m:
        return UNKNOWN, -1
    i, j = int(np.floor(fx * p[0] / p[2] + cx)), int(np.floor(fy * p[1] / p[2] + cy))
    reach = int(np.clip(np.ceil((change.LATERAL_M + change.LATERAL_PER_M * p[2]) * fx / p[2]), 1, 4))
    if not (reach <= i < width - reach and reach <= j < height - reach):
        return UNKNOWN, -1
    around = glance.near_m[j - reach : j + reach + 1, i - reach : i + reach + 1].astype(float)
    known = around[around > 0]
    if glance.near_m[j, i] <= 0 or len(known) < change.LEAST_AROUND * around.size:
        return UNKNOWN, j * width + i
    cosine = max(abs(float(n @ p)) / float(np.linalg.norm(p)), change.STEEPEST)
    margin = (MARGINS.base_m + MARGINS.per_m2 * p[2] ** 2) / cosine
    if known.min() > p[2] + margin:
        return THROUGH, j * width + i
    if known.min() > p[2] + margin / 3:
        return WEAK, j * width + i
    return (CONFIRMED if (np.abs(known - p[2]) <= margin).any() else HIDDEN), j * width + i


def test_the_kernels_agree_with_the_definition_point_by_point() -> None:
    surface = surface_of([BOX])
    image = render([MOVED], ring(7)[2])
    assert image.depth_m is not None
    depth = image.depth_m.copy()
    depth[::7, ::3] = 0  # holes
    depth[100:140, 150:170] = np.nan
    mask = np.ones(depth.shape, bool)
    mask[:90, :120] = False
    glance = glance_of(dataclasses.replace(image, depth_m=depth, mask=mask))
    step = glance.step
    for j, i in np.ndindex(glance.near_m.shape):  # pooling
        part = (slice(j * step, (j + 1) * step), slice(i * step, (i + 1) * step))
        good = depth[part][mask[part] & (np.nan_to_num(depth[part]) > 0)]
        known = len(good) >= LEAST_MEASURED * step * step and len(good)
        assert glance.near_m[j, i] == (good.min() if known else 0)
    found = change.compare(surface.points, surface.normals, glance, MARGINS, surface.voxel_m)
    some = np.arange(0, len(surface), 3)
    slow = [slow_state(surface.points[k].astype(float), surface.normals[k].astype(float), glance, VOXEL) for k in some]
    states, blocks = np.array(slow).T
    assert (found.state[some] == states).mean() > 0.999  # at a block's edge floats may round the other way
    assert (found.block[some] == blocks).mean() > 0.999
    assert {THROUGH, CONFIRMED, HIDDEN, UNKNOWN} <= set(states.tolist())


def test_a_box_that_is_gone_is_seen_through_and_nothing_else_is() -> None:
    surface = surface_of([BOX])
    on_box = surface.points[:, 2] > 0.004
    seen = np.zeros(len(surface), int)
    for pose in ring(8):
        state = judged(surface, render([], pose))
        assert not (state[~on_box] == THROUGH).any()
        seen += state == THROUGH
    # Margins are 12 to 14 mm of z-depth, twice that on what is seen at a slant; rays fall by half of it and more here.
    high = surface.points[:, 2] > 0.03
    assert (seen[on_box & high] >= 2).all()


def test_a_box_moved_by_ten_centimetres_leaves_what_it_hides_and_what_it_is_in_front_of() -> None:
    surface = surface_of([BOX])
    on_box = surface.points[:, 2] > 0.004
    top = on_box & (surface.points[:, 2] > 0.075)
    seen, confirmed = np.zeros(len(surface), int), np.zeros(len(surface), int)
    for pose in ring(12):
        state = judged(surface, render([MOVED], pose))
        assert not (state[~on_box] == THROUGH).any()
        seen += state == THROUGH
        confirmed += state == CONFIRMED
    assert (seen[top & (surface.points[:, 1] > 0.03)] >= 2).all()  # at least 2 cm from where the box is now
    # Table that the box hides now is not contradicted, table elsewhere is confirmed.
    beside = ~on_box & (np.abs(surface.points[:, 0]) > 0.08) & (np.hypot(*surface.points[:, :2].T) < 0.2)
    assert (confirmed[beside] > 0).all()


def test_something_passing_in_front_contradicts_nothing_behind_it() -> None:
    surface = surface_of([BOX])
    for pose in ring(8):
        hand = Sphere(tuple(0.5 * pose[:3, 3] + (0.0, 0.0, 0.02)), 0.06)  # type: ignore[arg-type]
        state = judged(surface, render([BOX, hand], pose))
        assert not (state == THROUGH).any()
        assert (state == HIDDEN).sum() > 100


@pytest.mark.parametrize("seed", range(3))
def test_noise_holes_edges_and_small_errors_of_pose_raise_no_alarm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    surface = surface_of([BOX])
    for pose in ring(6):
        image = render([BOX], pose)
        assert image.depth_m is not None
        depth = image.depth_m + rng.normal(0, 0.0025, image.depth_m.shape) * image.depth_m**2
        edge = np.abs(np.diff(image.depth_m, axis=1, append=0)) > 0.02
        mixed = 0.5 * (image.depth_m + np.roll(image.depth_m, 1, axis=1))
        depth = np.where(edge, mixed, depth)
        depth[rng.random(depth.shape) < 0.1] = 0
        off = pose.copy()
        off[:3, 3] += rng.normal(0, 0.002, 3)
        noisy = dataclasses.replace(image, depth_m=depth.astype(np.float32), T_world_cam=off)
        assert (judged(surface, noisy) == THROUGH).sum() == 0


def test_a_noisy_frame_is_given_wider_margins() -> None:
    surface = surface_of([BOX])
    image = render([BOX], ring(5)[1])
    assert image.depth_m is not None
    rng = np.random.default_rng(0)
    shaken = image.T_world_cam.copy()
    shaken[:3, 3] += (0.0, 0.0, 0.025)
    loud = dataclasses.replace(image, T_world_cam=shaken)
    coarse = dataclasses.replace(
        image, depth_m=(image.depth_m * rng.normal(1, 0.02, image.depth_m.shape)).astype(np.float32)
    )
    quiet = change.noise(surface.points, surface.normals, glance_of(image), MARGINS, VOXEL)
    assert quiet == 1
    for frame in (loud, coarse):
        assert change.noise(surface.points, surface.normals, glance_of(frame), MARGINS, VOXEL) > 2


def test_another_colour_is_told_from_another_light() -> None:
    flat = Box((0.0, 0.0, 0.002), (0.12, 0.12, 0.004), 0.0, (200, 40, 40))
    surface = surface_of([flat])
    on_flat = (np.abs(surface.points[:, :2]) < 0.05).all(axis=1)
    pose = look_at((0.1, 0.0, 0.5), (0.0, 0.0, 0.0))

    def others(colour: tuple[int, int, int], light: float) -> np.ndarray:
        image = render([dataclasses.replace(flat, colour=colour)], pose)
        glance = glance_of(dataclasses.replace(image, rgb=(image.rgb * light).astype(np.uint8)))
        verdict = change.compare(surface.points, surface.normals, glance, MARGINS, surface.voxel_m)
        return change.recoloured(verdict, surface.colours.astype(np.float32), glance)

    for light in (1.0, 0.6):
        assert not others((200, 40, 40), light).any()
        changed = others((40, 40, 200), light)
        assert changed[on_flat].mean() > 0.9
        assert not changed[~(np.abs(surface.points[:, :2]) < 0.07).all(axis=1)].any()


def test_depth_that_is_not_there_says_nothing() -> None:
    surface = surface_of([BOX])
    image = render([], look_at((0.0, 0.0, 0.6), (0.0, 0.001, 0.0)))
    assert image.depth_m is not None
    blind = dataclasses.replace(image, depth_m=np.zeros_like(image.depth_m))
    assert (judged(surface, blind) == UNKNOWN).all()
    assert Glance.of(dataclasses.replace(image, depth_m=None)) is None
