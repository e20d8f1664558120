# SPDX-License-Identifier: Apache-2.0
"""`~/next_views` from message to message: what it answers, and what it refuses."""

import numpy as np
import pytest
from analytic import CAMERA, look_at
from known_field import known_config, known_weights
from known_scene import AXES, BALL, CONFIG, KnownEncoder, snapshot_of

from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.ros.poses.listeners import matrix_from_pose
from lerf_ros.ros.services.next_views import NextViewsService
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import NextViews

SIDE = [look_at((0.45, y, 0.3), (0.0, y / 2, 0.05)) for y in (-0.15, 0.0, 0.15)]


@pytest.fixture(scope="module")
def snapshot() -> FieldSnapshot:
    made = snapshot_of([BALL], [AXES["ball"]])
    grey = np.eye(8, dtype=np.float32)[3]
    weights = known_weights(known_config(CONFIG), grey, grey, grey, CAMERA, SIDE)
    return FieldSnapshot(made.step, made.stamp_ns, made.frame_id, made.keyframes, made.surface, made.language,
                         made.encoder_name, made.encoder_sha256, weights)  # fmt: skip


def ask(snapshot: FieldSnapshot | None, **fields: object) -> NextViews.Response:
    service = NextViewsService(
        Settings(known_config(CONFIG)), KnownEncoder(), lambda: snapshot,
        lambda frame: CAMERA if frame in ("", "wrist_optical_frame") else None,
    )  # fmt: skip
    return service(NextViews.Request(**fields), NextViews.Response())


def test_views_are_ranked_poses_in_the_map_s_frame(snapshot: FieldSnapshot) -> None:
    answer = ask(snapshot, max_views=3, camera="wrist_optical_frame")
    assert answer.success
    assert answer.message == ""
    assert answer.views.header.frame_id == "base_link"
    assert answer.views.header.stamp.sec * 10**9 + answer.views.header.stamp.nanosec == snapshot.stamp_ns
    assert 1 <= len(answer.views.poses) == len(answer.gains) <= 3
    assert list(answer.gains) == sorted(answer.gains, reverse=True)
    assert 0 < answer.gains[0] <= 1
    for pose in answer.views.poses:
        T = matrix_from_pose(pose)
        assert T[2, 3] > 0  # above the table
        assert T[:3, 2] @ -T[:3, 3] > 0  # looking inwards


def test_the_same_map_gives_the_same_views(snapshot: FieldSnapshot) -> None:
    assert ask(snapshot, prompt="ball") == ask(snapshot, prompt="ball")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"prompt": "x" * 5000}, "bytes"),
        ({"prompt": " "}, "only white space"),
        ({"camera": "belly_camera"}, "no keyframe is of camera 'belly_camera'"),
        ({"max_views": 101}, "max_views = 101 is more than 100"),
    ],
)
def test_what_cannot_be_asked_is_refused(snapshot: FieldSnapshot, fields: dict[str, object], text: str) -> None:
    answer = ask(snapshot, **fields)
    assert not answer.success
    assert text in answer.message
    assert not answer.views.poses


def test_without_a_map_there_are_no_views() -> None:
    answer = ask(None)
    assert not answer.success
    assert "no map yet" in answer.message
