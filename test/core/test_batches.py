# SPDX-License-Identifier: Apache-2.0
"""Every ray of a batch against its keyframe's own arrays and camera, one at a time."""

import dataclasses
import itertools

import numpy as np
import pytest
from analytic import CAMERA, Sphere, look_at, render

from lerf_ros.core.batches import FRAMES_A_BATCH, RECENT_FRAMES, draw_frames, draw_pixels
from lerf_ros.core.focus import Place, windows
from lerf_ros.core.geometry import Intrinsics, invert, transform_points
from lerf_ros.core.keyframes import Keyframe

SMALL = Intrinsics(96, 64, 90.0, 80.0, 40.5, 33.0)


def keyframes() -> list[Keyframe]:
    """Return two cameras' views, one of them masked, one without depth."""
    ball = Sphere((0.0, 0.0, 0.05), 0.05)
    first = render((ball,), look_at((0.3, 0.0, 0.4), (0, 0, 0)), camera=CAMERA)
    second = render((ball,), look_at((0.0, 0.4, 0.3), (0, 0, 0)), camera=SMALL)
    mask = np.zeros((64, 96), bool)
    mask[:, ::3] = True
    third = dataclasses.replace(second, depth_m=None)
    images = first, dataclasses.replace(second, mask=mask), third
    return [Keyframe.of(10 + k, image) for k, image in enumerate(images)]


def test_each_ray_is_that_of_its_pixel() -> None:
    batch = draw_pixels(keyframes(), 400, 0.3, np.random.default_rng(0))
    assert len(batch) == 400
    assert {frame.id for frame in batch.frames} == {10, 11, 12}
    for n in range(len(batch)):
        image = batch.frames[batch.frame[n]].image
        k, (u, v) = image.intrinsics, batch.pixel[n].astype(int)
        assert batch.colour[n] * 255 == pytest.approx(image.rgb[v, u].astype(float), abs=1e-3)
        assert batch.depth_m[n] == (0 if image.depth_m is None else image.depth_m[v, u])
        assert batch.trainable[n] == (image.mask is None or image.mask[v, u])
        assert batch.focal_px[n] == k.fy
        local = np.array([(u - k.cx) / k.fx, (v - k.cy) / k.fy, 1.0])
        assert batch.local[n] == pytest.approx(local, abs=1e-6)
        world = image.T_world_cam[:3, :3] @ local / np.linalg.norm(local)
        assert batch.rays.directions[n] == pytest.approx(world, abs=1e-6)
        assert batch.rays.origins[n] == pytest.approx(image.T_world_cam[:3, 3], abs=1e-6)
        assert batch.rays.z_per_t[n] == pytest.approx(1 / np.linalg.norm(local), abs=1e-6)
        assert batch.rotation[n] == pytest.approx(image.T_world_cam[:3, :3], abs=1e-6)


def test_pixels_reach_from_corner_to_corner_evenly() -> None:
    batch = draw_pixels(keyframes()[1:2], 64000, 0.0, np.random.default_rng(1))
    u, v = batch.pixel.astype(int).T
    counts = np.bincount(v * 96 + u, minlength=64 * 96)
    assert len(counts) == 64 * 96
    assert counts[[0, 95, 63 * 96, 64 * 96 - 1]].min() > 0
    assert counts.var() == pytest.approx(counts.mean(), rel=0.1)  # Poisson


def test_as_many_keyframes_are_looked_into_however_many_there_are() -> None:
    frames = keyframes()[:1] * 5000
    batch = draw_pixels(frames, 2048, 0.3, np.random.default_rng(2))
    assert (len(batch.frames), len(batch)) == (FRAMES_A_BATCH, 2048)


def test_a_share_is_of_the_newest() -> None:
    drawn = draw_frames(1000, 20000, 0.3, np.random.default_rng(3))
    assert (drawn >= 1000 - RECENT_FRAMES).mean() == pytest.approx(0.3 + 0.7 * RECENT_FRAMES / 1000, abs=0.01)


def test_the_share_of_rays_on_a_place_comes_from_newer_keyframes_and_meets_it() -> None:
    old, new, away = (
        dataclasses.replace(render((), look_at(eye, target), stamp_ns=stamp))
        for stamp, eye, target in ((10, (0.3, 0.0, 0.4), (0, 0, 0)), (20, (0.0, 0.4, 0.3), (0, 0, 0)),
                                   (30, (0.3, 0.0, 0.4), (2, 0, 0.4)))
    )  # fmt: skip
    frames = [Keyframe.of(k, image) for k, image in enumerate((old, new, away))]
    place = Place((-0.02, -0.02, 0.0), (0.02, 0.02, 0.05), since_ns=15)
    (window,) = windows(frames, [place])
    assert window.frame is frames[1]
    for corner in itertools.product(*zip(place.low, place.high, strict=True)):
        u, v, _ = CAMERA.project(transform_points(invert(new.T_world_cam), np.array([corner])))
        assert window.low_px[0] <= u[0] <= window.high_px[0]
        assert window.low_px[1] <= v[0] <= window.high_px[1]
    batch = draw_pixels(frames, 640, 0.3, np.random.default_rng(0), [window], focus_share=0.5)
    inside = ((batch.pixel >= window.low_px) & (batch.pixel < window.high_px)).all(axis=1)
    inside &= np.array([batch.frames[k].id for k in batch.frame]) == 1
    assert 0.5 <= inside.mean() < 0.6  # a few of the others fall into it, too
    rows = np.flatnonzero(inside)[:20]
    for n in rows:  # a ray of the window is the ray of its pixel
        u, v = batch.pixel[n].astype(int)
        assert batch.depth_m[n] == pytest.approx(new.depth_m[v, u], abs=1e-4)  # type: ignore[index]


def test_without_a_focus_the_same_rays_are_drawn_as_ever() -> None:
    one, other = (
        draw_pixels(keyframes(), 300, 0.3, np.random.default_rng(5), *rest) for rest in ((), ((), 0.9))
    )
    assert (one.pixel == other.pixel).all()
    assert (one.frame == other.frame).all()
