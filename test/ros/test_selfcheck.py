# SPDX-License-Identifier: Apache-2.0
import dataclasses
import logging

import numpy as np
import pytest

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.selfcheck import SelfCheck

IMAGE = PosedImage(
    0, np.zeros((4, 4, 3), np.uint8), None, Intrinsics(4, 4, 4.0, 4.0, 1.5, 1.5), np.eye(4), "cam_optical_frame"
)


def names(check: SelfCheck) -> list[str]:
    return [warning.split(":")[0] for warning in check.warnings]


def test_a_fault_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    check = SelfCheck()
    with caplog.at_level(logging.WARNING):
        check.refused("image_encoding", "first")
        check.refused("image_encoding", "second")
    assert check.warnings == ["image_encoding: first"]
    assert [r.getMessage() for r in caplog.records] == ["image_encoding: first"]


def test_a_good_camera_gives_no_warning() -> None:
    check = SelfCheck()
    for n in range(300):
        T = np.eye(4)
        T[0, 3] = 0.001 * n
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n * 10**8, T_world_cam=T))
    assert check.warnings == []


def test_a_frame_that_is_not_optical() -> None:
    check = SelfCheck()
    check.accepted(dataclasses.replace(IMAGE, camera="camera_link"))
    assert names(check) == ["frame_not_optical"]


def test_a_pose_that_does_not_move() -> None:
    check = SelfCheck()
    for n in range(100):
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n * 10**8))
    assert check.warnings == [], "ten seconds are not over"
    for n in range(100, 102):
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n * 10**8))
    assert names(check) == ["pose_not_moving"]


def test_a_principal_point_at_the_corner() -> None:
    check = SelfCheck()
    check.accepted(dataclasses.replace(IMAGE, intrinsics=Intrinsics(4, 4, 4.0, 4.0, 0.0, 0.0)))
    assert names(check) == ["principal_point"]


def test_stamps_that_never_meet_and_streams_that_never_come() -> None:
    apart = SelfCheck()
    apart.unmatched(9, 0, {"depth": 50_000_000})
    assert apart.warnings == []
    apart.unmatched(10, 0, {"depth": 50_000_000})
    assert names(apart) == ["stamps_apart"]
    assert "0.050 s" in apart.warnings[0]
    missing = SelfCheck()
    missing.unmatched(10, 0, {})
    assert names(missing) == ["stream_missing"]
    fine = SelfCheck()
    fine.unmatched(10, 1, {})
    assert fine.warnings == []
