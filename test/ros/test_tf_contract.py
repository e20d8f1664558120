# SPDX-License-Identifier: Apache-2.0
"""One contract for every store of transforms: our own, and tf2's wherever it can be imported."""

import importlib.util
import math
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from lerf_ros.errors import PoseError
from lerf_ros.ros.poses.installed import pose_source
from lerf_ros.ros.poses.source import PoseSource
from lerf_ros.ros.poses.tf2_source import Tf2Source
from lerf_ros.ros.poses.tf_buffer import TfBuffer

S = 1_000_000_000
MS = 1_000_000
HAS_TF2 = importlib.util.find_spec("tf2_ros") is not None
ORIGIN = (0.0, 0.0, 0.0)
STRAIGHT = (0.0, 0.0, 0.0, 1.0)

pytestmark = pytest.mark.parametrize(
    "make",
    [
        pytest.param(TfBuffer, id="ours"),
        pytest.param(Tf2Source, id="tf2", marks=pytest.mark.skipif(not HAS_TF2, reason="no tf2_ros here")),
    ],
)
Make = Callable[..., PoseSource]


def about_z(angle: float) -> tuple[float, float, float, float]:
    return (0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2))


def turn_z(angle: float, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    T[:3, 3] = x, y, z
    return T


def refused(call: Callable[..., object], *arguments: object, **options: object) -> str:
    with pytest.raises(PoseError) as caught:
        call(*arguments, **options)
    return caught.value.cause


def moving(make: Make, first_s: int = 1, last_s: int = 3) -> PoseSource:
    """Return a camera that moves 1 m and turns 0.1 rad a second."""
    source = make()
    for second in range(first_s, last_s + 1):
        source.record("world", "cam", second * S, (float(second), 0.0, 0.0), about_z(0.1 * second))
    return source


def test_between_samples_it_is_on_the_arc_and_on_the_line(make: Make) -> None:
    source = moving(make)
    np.testing.assert_allclose(source.lookup("world", "cam", 2 * S), turn_z(0.2, x=2), atol=1e-9)
    np.testing.assert_allclose(source.lookup("world", "cam", 2 * S + S // 4), turn_z(0.225, x=2.25), atol=1e-9)
    np.testing.assert_allclose(source.lookup("cam", "world", S) @ turn_z(0.1, x=1), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(source.lookup("world", "cam", None), turn_z(0.3, x=3), atol=1e-9)


def test_slerp_by_hand_takes_the_short_way_round(make: Make) -> None:
    """A third of the way from 90 degrees about x to 90 about y, whose quaternions are 60 degrees apart; worked by hand.

    sin(40) / sin(60) = 0.742227, sin(20) / sin(60) = 0.394931; times sqrt(1/2): x 0.524834, y 0.279258, w 0.804092.
    The second is given with its sign turned round: the same rotation, the long way.
    """
    half = math.sqrt(0.5)
    source = make()
    source.record("world", "cam", 1 * S, ORIGIN, (half, 0.0, 0.0, half))
    source.record("world", "cam", 4 * S, (3.0, 6.0, -3.0), (0.0, -half, 0.0, -half))
    T = source.lookup("world", "cam", 2 * S)
    np.testing.assert_allclose(T[:3, 3], (1.0, 2.0, -1.0), atol=1e-9)
    x, y, w = 0.524834, 0.279258, 0.804092
    expected = [
        [1 - 2 * y * y, 2 * x * y, 2 * y * w],
        [2 * x * y, 1 - 2 * x * x, -2 * x * w],
        [-2 * y * w, 2 * x * w, 1 - 2 * (x * x + y * y)],
    ]
    np.testing.assert_allclose(T[:3, :3], expected, atol=5e-6)


def test_never_extrapolates(make: Make) -> None:
    source = moving(make)
    assert refused(source.lookup, "world", "cam", 3 * S + 1) == "tf_extrapolation"
    assert refused(source.lookup, "world", "cam", 1 * S - 1) == "tf_extrapolation"
    source.lookup("world", "cam", 3 * S)
    source.lookup("world", "cam", 1 * S)


def test_one_sample_is_known_at_its_own_stamp_alone(make: Make) -> None:
    source = make()
    source.record("world", "cam", 2 * S, (1.0, 2.0, 3.0), STRAIGHT)
    assert source.lookup("world", "cam", 2 * S)[1, 3] == pytest.approx(2.0)
    assert refused(source.lookup, "world", "cam", 2 * S + MS) == "tf_extrapolation"


def test_what_is_static_holds_at_all_times(make: Make) -> None:
    source = make()
    source.record("hand", "cam", 5 * S, (0.0, 0.0, 0.1), about_z(0.5), static=True)
    for stamp_ns in (1, 5 * S, 999 * S, None):
        np.testing.assert_allclose(source.lookup("hand", "cam", stamp_ns), turn_z(0.5, z=0.1), atol=1e-9)
    source.record("hand", "cam", 6 * S, (0.0, 0.0, 0.2), STRAIGHT, static=True)
    np.testing.assert_allclose(source.lookup("hand", "cam", 1), turn_z(0.0, z=0.2), atol=1e-9)
    assert source.newest_stamp("hand", "cam") is None


def test_chains_go_up_and_down_through_the_common_ancestor(make: Make) -> None:
    """world -> base (static) -> arm (moving) -> cam (static), and base -> tool (static)."""
    source = make()
    source.record("world", "base", 0, (5.0, 0.0, 0.0), about_z(0.7), static=True)
    source.record("base", "arm", 1 * S, (1.0, 0.0, 0.0), about_z(math.pi / 2))
    source.record("base", "arm", 2 * S, (1.0, 0.0, 0.0), about_z(math.pi / 2))
    source.record("arm", "cam", 0, (0.0, 0.0, 0.3), STRAIGHT, static=True)
    source.record("base", "tool", 0, (0.0, 2.0, 0.0), STRAIGHT, static=True)
    at = 1 * S + S // 2
    cam = turn_z(math.pi / 2, x=1, z=0.3)
    np.testing.assert_allclose(source.lookup("tool", "cam", at), turn_z(0.0, y=-2) @ cam, atol=1e-9)
    np.testing.assert_allclose(source.lookup("world", "cam", at), turn_z(0.7, x=5) @ cam, atol=1e-9)
    np.testing.assert_allclose(source.lookup("cam", "base", at), np.linalg.inv(cam), atol=1e-9)
    np.testing.assert_allclose(source.lookup("cam", "cam", 99 * S), np.eye(4))
    assert refused(source.lookup, "tool", "cam", 2 * S + 1) == "tf_extrapolation"
    assert source.newest_stamp("tool", "cam") == 2 * S
    assert source.newest_stamp("world", "tool") is None


def test_unknown_disconnected_and_looping_are_told_apart(make: Make) -> None:
    source = make()
    source.record("world", "base", 0, ORIGIN, STRAIGHT, static=True)
    source.record("map", "cam", 0, ORIGIN, STRAIGHT, static=True)
    assert refused(source.lookup, "world", "nowhere", 0) == "tf_unknown_frame"
    assert refused(source.lookup, "world", "cam", 0) == "tf_disconnected"
    assert refused(source.newest_stamp, "world", "cam") == "tf_disconnected"
    source.record("base", "world", 0, ORIGIN, STRAIGHT, static=True)
    assert refused(source.lookup, "base", "cam", 0) == "tf_loop"
    begin = time.monotonic()
    assert refused(source.wait, "base", "cam", 0, 30.0) == "tf_loop", "no transform to come can mend it"
    assert time.monotonic() - begin < 10.0


@pytest.mark.parametrize(("parent", "child"), [("", "a"), ("a", ""), ("a", "a"), ("/a", "a")])
def test_a_transform_needs_two_frames(make: Make, parent: str, child: str) -> None:
    assert refused(make().record, parent, child, 0, ORIGIN, STRAIGHT) == "tf_frame"


def test_a_leading_slash_is_no_part_of_a_name(make: Make) -> None:
    source = make()
    source.record("/world", "/cam", 0, (1.0, 0.0, 0.0), STRAIGHT, static=True)
    assert source.lookup("/world", "cam", 0)[0, 3] == 1.0
    assert source.lookup("world", "/cam", 0)[0, 3] == 1.0


@pytest.mark.parametrize(
    ("position", "quaternion", "cause"),
    [
        (ORIGIN, (0.0, 0.0, 0.0, 0.0), "pose_not_rigid"),
        (ORIGIN, (0.0, 0.0, 0.0, 1.1), "pose_not_rigid"),
        (ORIGIN, (0.0, 0.0, 0.0, 0.9), "pose_not_rigid"),
        (ORIGIN, (math.nan, 0.0, 0.0, 1.0), "pose_not_finite"),
        ((math.inf, 0.0, 0.0), STRAIGHT, "pose_not_finite"),
    ],
)
@pytest.mark.parametrize("static", [False, True])
def test_what_is_not_rigid_is_refused_and_disturbs_nothing(
    make: Make, position: tuple[float, float, float], quaternion: tuple[float, float, float, float], cause: str,
    static: bool,
) -> None:  # fmt: skip
    source = make()
    source.record("world", "cam", 1 * S, (1.0, 0.0, 0.0), STRAIGHT, static=static)
    assert refused(source.record, "world", "cam", 2 * S, position, quaternion, static=static) == cause
    assert source.lookup("world", "cam", 1 * S)[0, 3] == 1.0
    assert refused(source.record, "world", "new", 2 * S, position, quaternion, static=static) == cause
    assert refused(source.lookup, "world", "new", 2 * S) == "tf_unknown_frame"


def test_a_quaternion_a_little_off_is_scaled(make: Make) -> None:
    source = make()
    source.record("world", "cam", 1 * S, ORIGIN, tuple(1.009 * q for q in about_z(0.4)))  # type: ignore[arg-type]
    np.testing.assert_allclose(source.lookup("world", "cam", 1 * S), turn_z(0.4), atol=1e-9)


def test_an_arm_of_500_hz(make: Make) -> None:
    """Twelve seconds of three joints: ten are remembered, and any of them is found exactly."""
    source = make()
    for tick in range(6000):
        for parent, child in (("base", "l1"), ("l1", "l2"), ("l2", "l3")):
            source.record(parent, child, S + tick * 2 * MS, (tick * 1e-3, 0.0, 0.0), STRAIGHT)
    newest = S + 5999 * 2 * MS
    assert source.newest_stamp("base", "l3") == newest
    for stamp_ns in (newest, newest - 9 * S, newest - 5 * S + MS):
        assert source.lookup("base", "l3", stamp_ns)[0, 3] == pytest.approx(3 * (stamp_ns - S) / (2 * MS) * 1e-3)
    assert refused(source.lookup, "base", "l3", newest - 11 * S) == "tf_extrapolation"


def test_samples_out_of_order_are_put_where_they_belong(make: Make) -> None:
    source = make()
    for tenth in (30, 25, 28, 28):
        source.record("world", "cam", tenth * S // 10, (tenth / 10, 0.0, 0.0), STRAIGHT)
    assert source.lookup("world", "cam", 27 * S // 10)[0, 3] == pytest.approx(2.7)
    assert source.newest_stamp("world", "cam") == 3 * S


def test_a_new_parent_begins_a_new_history(make: Make) -> None:
    """An object that is picked up: nothing is said of the time between its last place and the first in the hand."""
    source = make()
    source.record("world", "hand", 0, (0.0, 5.0, 0.0), STRAIGHT, static=True)
    source.record("world", "cup", 1 * S, (1.0, 0.0, 0.0), STRAIGHT)
    source.record("world", "cup", 2 * S, (1.0, 0.0, 0.0), STRAIGHT)
    source.record("hand", "cup", 4 * S, (0.0, 0.0, 1.0), STRAIGHT)
    source.record("hand", "cup", 5 * S, (0.0, 0.0, 2.0), STRAIGHT)
    np.testing.assert_allclose(source.lookup("world", "cup", 9 * S // 2)[:3, 3], (0.0, 5.0, 1.5), atol=1e-9)
    assert refused(source.lookup, "world", "cup", 3 * S) == "tf_extrapolation"
    assert refused(source.lookup, "world", "cup", 3 * S // 2) == "tf_extrapolation"


def test_a_jump_back_in_time_starts_anew(make: Make) -> None:
    source = make()
    source.record("hand", "cam", 0, (0.0, 0.0, 1.0), STRAIGHT, static=True)
    for second in (100, 101):
        source.record("world", "hand", second * S, (9.0, 0.0, 0.0), STRAIGHT)
    for second in (1, 2):
        source.record("world", "hand", second * S, (float(second), 0.0, 0.0), STRAIGHT)
    np.testing.assert_allclose(source.lookup("world", "cam", 3 * S // 2)[:3, 3], (1.5, 0.0, 1.0), atol=1e-9)
    assert refused(source.lookup, "world", "cam", 100 * S + S // 2) == "tf_extrapolation"
    assert source.newest_stamp("world", "cam") == 2 * S


def test_clearing_keeps_what_is_static(make: Make) -> None:
    source = moving(make)
    source.record("cam", "lens", 0, (0.0, 0.0, 1.0), STRAIGHT, static=True)
    source.clear()
    assert source.lookup("cam", "lens", 7 * S)[2, 3] == 1.0
    assert refused(source.lookup, "world", "cam", 2 * S) == "tf_extrapolation"
    source.record("world", "cam", 1 * S, (4.0, 0.0, 0.0), STRAIGHT)
    assert source.lookup("world", "lens", 1 * S)[0, 3] == 4.0


def later(*calls: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(0.1, lambda: [call() for call in calls])
    timer.start()
    return timer


def test_a_late_transform_is_waited_for(make: Make) -> None:
    source = moving(make)
    timer = later(lambda: source.record("world", "cam", 5 * S, (5.0, 0.0, 0.0), about_z(0.5)))
    np.testing.assert_allclose(source.wait("world", "cam", 4 * S, 20.0), turn_z(0.4, x=4), atol=1e-9)
    timer.join()


def test_a_frame_nobody_has_named_yet_is_waited_for(make: Make) -> None:
    source = make()
    timer = later(
        lambda: source.record("world", "hand", 1 * S, (1.0, 0.0, 0.0), STRAIGHT),
        lambda: source.record("hand", "cam", 0, (1.0, 0.0, 0.0), STRAIGHT, static=True),
    )
    assert source.wait("world", "cam", 1 * S, 20.0)[0, 3] == 2.0
    timer.join()


def test_two_may_wait_for_different_frames(make: Make) -> None:
    source = make()
    found: list[float] = []
    waiting = [
        threading.Thread(target=lambda n=n: found.append(float(source.wait("world", f"cam{n}", 2 * S, 20.0)[0, 3])))
        for n in (1, 2)
    ]
    for n in (1, 2):
        source.record("world", f"cam{n}", 1 * S, ORIGIN, STRAIGHT)
    for thread in waiting:
        thread.start()
    for n in (2, 1):
        source.record("world", f"cam{n}", 3 * S, (2.0 * n, 0.0, 0.0), STRAIGHT)
    for thread in waiting:
        thread.join(10.0)
    assert sorted(found) == [1.0, 2.0]


def test_waiting_is_bounded(make: Make) -> None:
    begin = time.monotonic()
    assert refused(moving(make).wait, "world", "cam", 4 * S, 0.1) == "tf_extrapolation"
    assert refused(make().wait, "world", "cam", 4 * S, 0.1) == "tf_unknown_frame"
    assert 0.19 < time.monotonic() - begin < 5.0


def test_nobody_waits_for_what_is_closed(make: Make) -> None:
    source = moving(make)
    timer = later(source.close)
    begin = time.monotonic()
    assert refused(source.wait, "world", "cam", 4 * S, 60.0) == "tf_extrapolation"
    assert refused(source.wait, "world", "cam", 4 * S, 60.0) == "tf_extrapolation"
    assert time.monotonic() - begin < 20.0
    timer.join()


def test_the_installed_one_is_taken(make: Make) -> None:
    assert isinstance(pose_source(), Tf2Source if HAS_TF2 else TfBuffer)
