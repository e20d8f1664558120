# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from lerf_ros.core.mounting import MountingError
from lerf_ros.ros.poses.suspicion import Leaps, Stillness
from lerf_ros.ros.poses.watch import correction_message, describe

S = 1_000_000_000
RANDOM = np.random.default_rng(0)
SCENE = np.repeat(np.repeat(RANDOM.integers(0, 255, (12, 16, 3)).astype(np.uint8), 10, 0), 10, 1)


def at(x: float) -> np.ndarray:
    T = np.eye(4)
    T[0, 3] = x
    return T


def test_a_leap_is_a_distance_that_no_speed_covers() -> None:
    leaps = Leaps()
    assert leaps.look("cam", 1 * S, at(0.0), 2.0) is None
    assert leaps.look("cam", 1 * S + S // 10, at(0.19), 2.0) is None, "1.9 m/s"
    text = leaps.look("cam", 1 * S + 2 * S // 10, at(0.40), 2.0)
    assert text is not None
    assert "0.210 m in 0.100 s" in text
    assert leaps.look("cam", 1 * S + 3 * S // 10, at(0.60), 2.0) is None, "it goes on from there"


def test_no_leap_is_seen_over_a_pause_back_in_time_between_cameras_or_when_off() -> None:
    leaps = Leaps()
    leaps.look("cam", 10 * S, at(0.0), 2.0)
    assert leaps.look("cam", 13 * S, at(9.0), 2.0) is None
    assert leaps.look("cam", 1 * S, at(0.0), 2.0) is None
    assert leaps.look("other", 1 * S + 1, at(5.0), 2.0) is None
    assert leaps.look("cam", 1 * S + 1, at(5.0), 0.0) is None


@pytest.mark.parametrize(
    ("change", "suspicious"),
    [
        ("nothing", False),
        ("the camera moved", True),
        ("a lamp was switched off", False),
        ("a third of the image: a person", False),
    ],
)
def test_images_that_change_all_over_while_the_pose_stands_are_suspicious(change: str, suspicious: bool) -> None:
    later = SCENE.copy()
    if change == "the camera moved":
        later = np.roll(SCENE, (30, 50), (0, 1))
    elif change.startswith("a lamp"):
        later = (SCENE * 0.4).astype(np.uint8)
    elif change.startswith("a third"):
        later[:, :50] = 90
    stillness = Stillness()
    assert stillness.look("cam", 1 * S, at(0.0), SCENE, 2.0) is None
    assert stillness.look("cam", 2 * S, at(0.0), later, 2.0) is None, "not long enough"
    assert (stillness.look("cam", 4 * S, at(0.0), later, 2.0) is not None) is suspicious
    assert stillness.look("cam", 9 * S, at(0.0), later, 0.0) is None, "switched off"


def test_a_pose_that_flickers_is_alive() -> None:
    stillness = Stillness()
    for second in range(9):
        assert stillness.look("cam", second * S, at(1e-6 * second), np.roll(SCENE, 37 * second, 1), 2.0) is None


def test_the_correction_is_sent_in_the_cameras_frame_with_its_covariance() -> None:
    T = at(0.008)
    covariance = np.diag([1e-6, 2e-6, 3e-6, 1e-5, 2e-5, 3e-5])
    error = MountingError(T, covariance, 20)
    message = correction_message("cam_optical_frame", 5 * S + 7, error)
    assert message.header.frame_id == "cam_optical_frame"
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (5, 7)
    assert message.pose.pose.position.x == 0.008
    assert message.pose.pose.orientation.w == 1.0
    assert np.array_equal(np.array(message.pose.covariance).reshape(6, 6), covariance)
    assert "(8.0, 0.0, 0.0) mm" in describe("cam", error)
