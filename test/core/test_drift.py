# SPDX-License-Identifier: Apache-2.0
"""A known error of a camera's mounting on an exact scene is found within the uncertainty that is stated with it."""

import math

import numpy as np
import pytest
from analytic import Box, Cylinder, Sphere, look_at, render, ring

from lerf_ros.core.drift import mounting_error
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import KeptImage, PosedImage
from lerf_ros.core.mounting import SIGNIFICANT, MountingError

SCENE = (
    Sphere((0.08, 0.05, 0.05), 0.05),
    Box((-0.1, -0.06, 0.05), (0.1, 0.08, 0.1), 0.3),
    Cylinder((0.05, -0.12, 0.06), 0.03, 0.12),
)
AXIS = np.array([0.48, -0.6, 0.64])
SHIFT = 0.008 * np.array([0.64, 0.48, -0.6])
TURN_RAD = math.radians(1.5)


def turned(axis: np.ndarray, angle: float) -> np.ndarray:
    K = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + math.sin(angle) * K + (1 - math.cos(angle)) * K @ K


def mounted(shift: np.ndarray, axis: np.ndarray, angle: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = turned(axis, angle), shift
    return T


def scan(count: int = 14, seed: int = 0) -> list[np.ndarray]:
    """Return views from all sides and heights, rolled about their axis: they tell all six numbers."""
    random = np.random.default_rng(seed)
    poses = []
    for _ in range(count):
        turn, up, far = random.uniform(0, 2 * np.pi), random.uniform(0.5, 1.4), random.uniform(0.4, 0.7)
        eye = far * np.array([np.cos(turn) * np.cos(up), np.sin(turn) * np.cos(up), np.sin(up)])
        roll = mounted(np.zeros(3), np.array([0.0, 0.0, 1.0]), random.uniform(-1, 1))
        poses.append(look_at(tuple(eye), tuple(random.uniform(-0.05, 0.05, 3))) @ roll)
    return poses


def seen(
    poses: list[np.ndarray], error: np.ndarray, noise_m: float = 0.0, pose_noise: tuple[float, float] = (0.0, 0.0)
) -> list[KeptImage]:
    """Return keyframes whose stated poses lack `error`: the camera truly is at `stated @ error`."""
    random = np.random.default_rng(7)
    images = []
    for n, T in enumerate(poses):
        image = render(SCENE, T, stamp_ns=n)
        assert image.depth_m is not None
        noise = noise_m * random.normal(size=image.depth_m.shape)
        depth = np.where(image.depth_m > 0, image.depth_m + noise, 0).astype(np.float32)
        axis = random.normal(size=3)
        shake = mounted(pose_noise[0] * random.normal(size=3), axis / np.linalg.norm(axis),
                        pose_noise[1] * random.normal())  # fmt: skip
        stated = T @ np.linalg.inv(error) @ shake
        images.append(KeptImage.of(PosedImage(n, image.rgb, depth, image.intrinsics, stated)))
    return images


def miss(found: MountingError, error: np.ndarray) -> np.ndarray:
    """Return (shift, rotation vector) from what was found to what is true."""
    D = np.linalg.inv(found.T_cam_corrected) @ error
    R = D[:3, :3]
    return np.concatenate([D[:3, 3], np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2])


def is_within(found: MountingError, error: np.ndarray) -> bool:
    d = miss(found, error)
    return float(d @ np.linalg.solve(found.covariance, d)) < SIGNIFICANT


ERROR = mounted(SHIFT, AXIS, TURN_RAD)


@pytest.mark.parametrize("noise_m", [0.0, 0.002])
def test_eight_millimetres_and_a_degree_and_a_half_are_found(noise_m: float) -> None:
    found = mounting_error(seen(scan(), ERROR, noise_m))
    assert found is not None
    assert found.significant
    assert is_within(found, ERROR)
    d = miss(found, ERROR)
    assert np.linalg.norm(d[:3]) < 0.0005
    assert np.linalg.norm(d[3:]) < math.radians(0.05)
    assert np.sqrt(np.diag(found.covariance))[:3].max() < 0.001, "and it says that it is sure"
    assert np.sqrt(np.diag(found.covariance))[3:].max() < math.radians(0.1)


def test_poses_that_shake_make_it_less_sure_not_wrong() -> None:
    found = mounting_error(seen(scan(), ERROR, 0.001, (0.002, math.radians(0.3))))
    assert found is not None
    assert is_within(found, ERROR)
    assert found.significant
    assert np.sqrt(np.diag(found.covariance))[:3].max() > 0.0005


@pytest.mark.parametrize("pose_noise", [(0.0, 0.0), (0.001, math.radians(0.15))])
def test_no_error_is_nothing_to_report(pose_noise: tuple[float, float]) -> None:
    found = mounting_error(seen(scan(), np.eye(4), 0.002, pose_noise))
    assert found is not None
    assert not found.significant
    assert is_within(found, np.eye(4))


def test_what_the_views_cannot_tell_is_left_uncertain() -> None:
    """Views in a ring look alike when all of them are turned about its axis or lifted along it."""
    found = mounting_error(seen(ring(14), ERROR))
    assert found is not None
    assert is_within(found, ERROR)
    assert np.linalg.eigvalsh(found.covariance[:3, :3])[-1] > 0.02**2
    assert found.significant, "the rest they do tell"


def test_a_camera_that_stands_still_says_nothing() -> None:
    assert mounting_error(seen([scan()[0]] * 10, ERROR)) is None


def test_too_few_views_say_nothing() -> None:
    assert mounting_error(seen(scan(2), ERROR)) is None
    assert mounting_error([]) is None


COARSE = Intrinsics(64, 48, 60.0, 60.0, 31.5, 23.5)


def circling(first: int, count: int, things: tuple[Box | Sphere, ...]) -> list[KeptImage]:
    """Return what a coarse camera measures, in whole millimetres, on its way around a floor: truly where it says."""
    images = []
    for n in range(first, first + count):
        a = 0.12 * n
        T = look_at((0.5 * np.cos(a), 0.5 * np.sin(a), 0.45 + 0.05 * np.sin(1.7 * a)), (0.0, 0.0, 0.03))
        image = render(things, T, n, COARSE)
        assert image.depth_m is not None
        depth = np.where(image.depth_m < 4, np.rint(image.depth_m * 1000) / 1000, 0).astype(np.float32)
        images.append(KeptImage.of(PosedImage(n, image.rgb, depth, COARSE, T)))
    return images


A_FEW = (Sphere((-0.1, -0.1, 0.05), 0.05), Box((-0.1, 0.1, 0.06), (0.1, 0.15, 0.12), 0.4))


@pytest.mark.parametrize("things", [(), A_FEW], ids=["bare floor", "a few things"])
@pytest.mark.parametrize(("first", "count"), [(1, 5), (46, 8), (10, 12)])
def test_a_narrow_arc_over_a_plane_reports_nothing(first: int, count: int, things: tuple[Box | Sphere, ...]) -> None:
    """Least squares says 2 to 5 cm and 3 degrees here, in directions that hardly change what is seen."""
    found = mounting_error(circling(first, count, things))
    assert found is None or not found.significant


def test_only_what_was_observed_is_reported() -> None:
    sure, unsure = 0.0005**2, 0.024**2
    T = mounted(np.array([-0.041, 0.002, 0.004]), AXIS, 0.0)
    turns = [math.radians(0.02) ** 2] * 3
    vague = MountingError(T, np.diag([unsure / 100, sure, sure, *turns]), 20)
    assert not MountingError(T, np.diag([0.0025**2, sure, 0.002**2, *turns]), 20).significant, "4 sigma, but untold"
    assert vague.told.vector[0] == 0.0
    assert vague.told.vector[1] == pytest.approx(0.002)
    assert MountingError(T, np.diag([sure, sure, sure, *turns]), 20).significant
