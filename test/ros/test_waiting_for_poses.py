# SPDX-License-Identifier: Apache-2.0
"""A frame waits for all that it needs together no longer than `input.tf_timeout_s`, and a dead camera for nothing."""

import threading
import time

import numpy as np
import pytest
from ros.test_ingest import COLOR_FRAME, DEPTH, DEPTH_FRAME, IDENTITY, NOW_NS, depth_info, frame, make

from lerf_ros.config import from_flat
from lerf_ros.errors import InputError, PoseError
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.poses.tf_buffer import TfBuffer
from lerf_ros.ros.settings import Settings


class Waits(TfBuffer):
    """Notes how long each wait may take."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s: list[float] = []

    def wait(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> np.ndarray:
        self.asked_s.append(timeout_s)
        return super().wait(target, source, stamp_ns, min(timeout_s, 0.3))


def poses(**options: object) -> tuple[CameraPoses, Waits]:
    transforms = Waits()
    return CameraPoses(Settings(from_flat({f"input.{k}": v for k, v in options.items()})), transforms), transforms


def test_pose_and_depth_share_one_deadline() -> None:
    """The pose comes late; where the depth camera is nobody tells: that is not waited for as long once more."""
    ingest, _, transforms = make(tf_timeout_s=1.0)
    seen = frame(DEPTH_FRAME, DEPTH, depth_info())
    seen.image.header.frame_id = "late_frame"
    late = threading.Timer(
        0.7, lambda: transforms.record("base_link", "late_frame", 0, (0.0, 0.0, 0.0), IDENTITY, static=True)
    )
    begin = time.monotonic()
    late.start()
    with pytest.raises(InputError) as refused:
        ingest(seen)
    took_s = time.monotonic() - begin
    late.join()
    assert DEPTH_FRAME in str(refused.value)
    assert 0.9 < took_s < 1.5


def test_a_pose_by_topic_and_the_frames_around_it_share_one_deadline() -> None:
    found, transforms = poses(pose_source="pose", tf_timeout_s=5.0)
    found.record("", "map", "body", NOW_NS, (0.0, 0.0, 0.0), IDENTITY)
    transforms.record("base_link", "map", NOW_NS, (0.0, 0.0, 0.0), IDENTITY, static=True)
    with pytest.raises(PoseError):
        found.wait(COLOR_FRAME, NOW_NS, until=time.monotonic() + 0.2)
    assert len(transforms.asked_s) == 2
    assert all(s <= 0.2 for s in transforms.asked_s)


def test_a_camera_without_a_pose_is_waited_for_again_only_when_it_moves_on() -> None:
    found, transforms = poses(tf_timeout_s=0.2)
    transforms.record("base_link", "dead", 0, (0.0, 0.0, 0.0), IDENTITY)
    for camera, frame_id in (("dead", "dead"), ("nowhere", "unknown")):
        transforms.asked_s.clear()
        for _ in range(3):
            with pytest.raises(PoseError):
                found.wait(frame_id, NOW_NS, camera)
        assert transforms.asked_s[0] == pytest.approx(0.2, abs=0.1)
        assert transforms.asked_s[1:] == [0.0, 0.0]
    with pytest.raises(PoseError):
        found.wait("other", NOW_NS, "other")
    assert transforms.asked_s[-1] > 0.1, "another camera is waited for"
    transforms.record("base_link", "dead", NOW_NS - 10**8, (0.0, 0.0, 0.0), IDENTITY)
    with pytest.raises(PoseError):
        found.wait("dead", NOW_NS, "dead")
    assert transforms.asked_s[-1] > 0.1, "it has come alive"
    transforms.record("base_link", "unknown", 0, (0.0, 0.0, 0.0), IDENTITY, static=True)
    found.wait("unknown", NOW_NS, "nowhere")
    assert "nowhere" not in found._misses


def test_a_pose_topic_that_is_silent_is_waited_for_once() -> None:
    found, _ = poses(pose_source="pose", tf_timeout_s=0.2)
    times = []
    for _ in range(3):
        begin = time.monotonic()
        with pytest.raises(PoseError):
            found.wait(COLOR_FRAME, NOW_NS)
        times.append(time.monotonic() - begin)
    assert times[0] >= 0.2
    assert sum(times[1:]) < 0.2
