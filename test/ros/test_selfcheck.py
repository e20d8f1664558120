# SPDX-License-Identifier: Apache-2.0
"""The book of faults: named, logged once, cured."""

import dataclasses
import logging

import numpy as np
import pytest

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.selfcheck.check import CURED_FRAMES, MAX_FRAMES, SelfCheck

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
    assert check.warnings == ["image_encoding: second"], "the remedy of now"
    assert [r.getMessage() for r in caplog.records] == ["image_encoding: first"]


def test_what_refused_frames_is_over_after_many_good_ones() -> None:
    check = SelfCheck()
    check.refused("image_bytes", "short")
    for n in range(CURED_FRAMES - 1):
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n))
    assert names(check) == ["image_bytes"]
    check.refused("image_bytes", "short again")
    for n in range(CURED_FRAMES - 1):
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n))
    assert names(check) == ["image_bytes"], "the count begins anew with each refusal"
    check.accepted(IMAGE)
    assert check.warnings == []


def test_a_fault_that_comes_back_stands_again_and_is_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    check = SelfCheck()
    with caplog.at_level(logging.INFO):
        check.warn("a", "text")
        check.clear("a")
        check.clear("a")
        check.warn("a", "text")
    assert names(check) == ["a"]
    assert [r.getMessage() for r in caplog.records] == ["a: text", "a: cured"]


def test_faults_of_two_cameras_are_two() -> None:
    check = SelfCheck()
    check.accepted(dataclasses.replace(IMAGE, camera="left_link"))
    assert names(check) == ["frame_not_optical"]
    check.accepted(dataclasses.replace(IMAGE, camera="right_link"))
    assert [w.split("(")[-1] for w in check.warnings] == ["left_link)", "right_link)"]
    check.clear("frame_not_optical", "left_link")
    assert "right_link" in check.warnings[0]


def test_what_is_ignored_is_neither_reported_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    check = SelfCheck()
    check.ignored = frozenset({"a"})
    check.warn("a", "text")
    assert check.warnings == []
    assert caplog.records == []
    check.ignored = frozenset()
    assert names(check) == ["a"]


def test_a_good_camera_gives_no_warning() -> None:
    check = SelfCheck()
    rng = np.random.default_rng(0)
    for n in range(300):
        T = np.eye(4)
        T[0, 3] = 0.001 * n
        rgb = rng.integers(0, 255, (4, 4, 3)).astype(np.uint8)
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n * 10**8, T_world_cam=T, rgb=rgb))
    assert check.warnings == []


def test_a_frame_that_is_not_named_optical() -> None:
    check = SelfCheck()
    check.accepted(dataclasses.replace(IMAGE, camera="camera_link"))
    assert names(check) == ["frame_not_optical"]


def test_a_pose_that_does_not_move_until_it_does() -> None:
    check = SelfCheck()
    for n in range(100):
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n * 10**8))
    assert check.warnings == [], "ten seconds are not over"
    for n in range(100, 102):
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n * 10**8))
    assert names(check) == ["pose_not_moving"]
    T = np.eye(4)
    T[0, 3] = 0.001
    check.accepted(dataclasses.replace(IMAGE, stamp_ns=11 * 10**9, T_world_cam=T))
    assert check.warnings == []


def test_a_principal_point_at_the_corner() -> None:
    check = SelfCheck()
    check.accepted(dataclasses.replace(IMAGE, intrinsics=Intrinsics(4, 4, 4.0, 4.0, 0.0, 0.0)))
    assert names(check) == ["principal_point"]
    check.accepted(IMAGE)
    assert check.warnings == []


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
    missing.unmatched(11, 1, {})
    assert missing.warnings == []
    fine = SelfCheck()
    fine.unmatched(10, 1, {})
    assert fine.warnings == []


def test_a_qos_mismatch_is_over_when_frames_come_again() -> None:
    check = SelfCheck()
    check.unmatched(0, 3, {})
    check.qos_mismatch("/image", "RELIABILITY")
    check.unmatched(0, 3, {})
    assert names(check) == ["qos_mismatch /image"]
    assert "best_effort" in check.warnings[0]
    check.unmatched(0, 4, {})
    assert check.warnings == []


def test_a_qos_mismatch_of_one_camera_is_not_cured_by_another() -> None:
    check = SelfCheck()
    check.qos_mismatch("/left/image", "RELIABILITY", "left")
    check.unmatched(0, 1, {}, "right")
    assert names(check) == ["qos_mismatch /left/image"]
    check.unmatched(0, 1, {}, "left")
    assert check.warnings == []


@pytest.mark.parametrize("others", ["cam2", "cam"])
def test_a_qos_mismatch_of_a_remapped_topic_is_cured_by_its_own_camera(others: str) -> None:
    check, own = SelfCheck(), {"cam": "cam2", "cam2": "cam"}[others]
    check.qos_mismatch("/driver/color/image_raw", "RELIABILITY", own)
    check.unmatched(0, 1, {}, others)
    assert names(check) == ["qos_mismatch /driver/color/image_raw"]
    check.unmatched(0, 1, {}, own)
    assert check.warnings == []


def test_a_stream_that_stops_after_it_has_matched_is_named() -> None:
    check = SelfCheck()
    check.unmatched(3, 500, {})
    check.unmatched(12, 500, {})
    assert check.warnings == []
    check.unmatched(13, 500, {})
    assert names(check) == ["stream_missing"]
    check.unmatched(14, 501, {})
    assert check.warnings == []
    check.unmatched(24, 501, {"depth": 50_000_000})
    assert names(check) == ["stamps_apart"]
    check.nothing_expected(24)
    assert check.warnings == []
    check.unmatched(33, 501, {})
    assert check.warnings == [], "counted anew after deactivation"


def test_a_refusal_of_one_camera_is_neither_hidden_nor_cured_by_another() -> None:
    check = SelfCheck()
    for camera in ("left", "right"):
        check.unmatched(0, 1, {}, camera)
        check.refused("tf_extrapolation", f"no pose of {camera}", camera)
    assert check.warnings == [f"tf_extrapolation: no pose of {c} ({c})" for c in ("left", "right")]
    for n in range(CURED_FRAMES):
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n), "right")
    assert check.warnings == ["tf_extrapolation: no pose of left (left)"]


def test_refused_transforms_are_told_by_frame_counted_apart_and_bounded() -> None:
    check = SelfCheck()
    for n in range(3):
        check.refused_pose("pose_not_rigid", f"zero for the {n}th time", "tool")
    check.refused_pose("pose_not_rigid", "zero", "base")
    assert check.refused_poses == {"pose_not_rigid": 4}
    assert check.warnings == ["pose_not_rigid: zero for the 2th time (tool)", "pose_not_rigid: zero (base)"]
    for n in range(1000):
        check.refused_pose("pose_not_rigid", "zero", f"frame {n}")
    assert len(check.warnings) == MAX_FRAMES + 1
    for n in range(CURED_FRAMES):
        check.accepted(dataclasses.replace(IMAGE, stamp_ns=n), "any")
    assert check.warnings == []
