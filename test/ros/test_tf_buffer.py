# SPDX-License-Identifier: Apache-2.0
import math
import threading
import time

import numpy as np
import pytest

from lerf_ros.errors import PoseError
from lerf_ros.ros.poses.tf_buffer import TfBuffer, interpolate

S = 1_000_000_000


def turn_z(angle: float, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    T[:3, 3] = x, y, z
    return T


def cause_of(buffer: TfBuffer, target: str, source: str, stamp_ns: int | None) -> str:
    with pytest.raises(PoseError) as caught:
        buffer.lookup(target, source, stamp_ns)
    return caught.value.cause


def test_interpolates_rotation_on_the_arc_and_position_on_the_line() -> None:
    got = interpolate(turn_z(0.2, x=1), turn_z(1.0, x=3), 0.25)
    np.testing.assert_allclose(got, turn_z(0.4, x=1.5), atol=1e-12)


def test_interpolates_the_short_way_round() -> None:
    got = interpolate(turn_z(math.radians(170)), turn_z(math.radians(-170)), 0.5)
    np.testing.assert_allclose(got, turn_z(math.pi), atol=1e-9)


def test_looks_up_at_the_stamp_between_samples() -> None:
    buffer = TfBuffer()
    for second in (1, 2, 3):
        buffer.add("world", "cam", second * S, turn_z(0.1 * second, x=second))
    np.testing.assert_allclose(buffer.lookup("world", "cam", 2 * S + S // 2), turn_z(0.25, x=2.5), atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("world", "cam", 3 * S), turn_z(0.3, x=3), atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("cam", "world", 1 * S) @ turn_z(0.1, x=1), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("world", "cam", None), turn_z(0.3, x=3), atol=1e-12)


def test_never_extrapolates() -> None:
    buffer = TfBuffer()
    buffer.add("world", "cam", 1 * S, np.eye(4))
    buffer.add("world", "cam", 2 * S, np.eye(4))
    assert cause_of(buffer, "world", "cam", 2 * S + 1) == "tf_extrapolation"
    assert cause_of(buffer, "world", "cam", 1 * S - 1) == "tf_extrapolation"


def test_chains_through_the_common_ancestor() -> None:
    """world -> base -> cam and base -> tool (static): by hand, cam in tool."""
    buffer = TfBuffer()
    buffer.add("world", "base", 0, turn_z(0.7, x=5), static=True)
    buffer.add("base", "cam", 1 * S, turn_z(math.pi / 2, x=1))
    buffer.add("base", "tool", 0, turn_z(0.0, y=2), static=True)
    np.testing.assert_allclose(buffer.lookup("tool", "cam", 1 * S), turn_z(math.pi / 2, x=1, y=-2), atol=1e-12)
    np.testing.assert_allclose(
        buffer.lookup("world", "cam", 1 * S), turn_z(0.7, x=5) @ turn_z(math.pi / 2, x=1), atol=1e-12
    )
    np.testing.assert_allclose(buffer.lookup("cam", "cam", 99 * S), np.eye(4))
    assert cause_of(buffer, "tool", "cam", 2 * S) == "tf_extrapolation"


def test_samples_out_of_order_and_repeated() -> None:
    buffer = TfBuffer()
    for second in (3, 1, 2, 2):
        buffer.add("world", "cam", second * S, turn_z(0.0, x=second))
    assert buffer.lookup("world", "cam", 1 * S + S // 2)[0, 3] == pytest.approx(1.5)


def test_old_samples_leave_the_cache() -> None:
    buffer = TfBuffer(cache_s=10)
    buffer.add("world", "cam", 0, np.eye(4))
    buffer.add("world", "cam", 5 * S, np.eye(4))
    buffer.add("world", "cam", 12 * S, np.eye(4))
    assert cause_of(buffer, "world", "cam", 3 * S) == "tf_extrapolation"
    buffer.lookup("world", "cam", 6 * S)


def test_a_jump_back_in_time_starts_anew() -> None:
    buffer = TfBuffer(cache_s=10)
    buffer.add("world", "cam", 100 * S, turn_z(0, x=9))
    buffer.add("world", "cam", 1 * S, turn_z(0, x=1))
    buffer.add("world", "cam", 2 * S, turn_z(0, x=2))
    assert buffer.lookup("world", "cam", 1 * S + S // 2)[0, 3] == pytest.approx(1.5)
    assert cause_of(buffer, "world", "cam", 50 * S) == "tf_extrapolation"


def test_a_new_parent_replaces_the_old_history() -> None:
    buffer = TfBuffer()
    buffer.add("world", "cam", 1 * S, turn_z(0, x=1))
    buffer.add("hand", "cam", 2 * S, turn_z(0, x=2))
    assert cause_of(buffer, "world", "cam", 1 * S) == "tf_unknown_frame"
    assert buffer.lookup("hand", "cam", 2 * S)[0, 3] == 2


def test_unknown_disconnected_and_looping_frames_are_told_apart() -> None:
    buffer = TfBuffer()
    buffer.add("world", "base", 0, np.eye(4), static=True)
    buffer.add("map", "cam", 0, np.eye(4), static=True)
    assert cause_of(buffer, "world", "nowhere", 0) == "tf_unknown_frame"
    assert cause_of(buffer, "world", "cam", 0) == "tf_disconnected"
    buffer.add("base", "world", 0, np.eye(4), static=True)
    assert cause_of(buffer, "base", "cam", 0) == "tf_loop"


@pytest.mark.parametrize(("parent", "child"), [("", "a"), ("a", ""), ("a", "a"), ("/a", "a")])
def test_a_transform_needs_two_frames(parent: str, child: str) -> None:
    with pytest.raises(PoseError) as caught:
        TfBuffer().add(parent, child, 0, np.eye(4))
    assert caught.value.cause == "tf_frame"


def test_waits_for_a_transform_that_is_still_to_come() -> None:
    buffer = TfBuffer()
    buffer.add("world", "cam", 1 * S, np.eye(4))
    timer = threading.Timer(0.1, buffer.add, ("world", "cam", 3 * S, turn_z(0, x=2)))
    timer.start()
    assert buffer.wait("world", "cam", 2 * S, 10.0)[0, 3] == pytest.approx(1.0)
    timer.join()


def test_waiting_is_bounded_and_ends_at_close() -> None:
    buffer = TfBuffer()
    begin = time.monotonic()
    with pytest.raises(PoseError):
        buffer.wait("world", "cam", 0, 0.1)
    assert 0.09 < time.monotonic() - begin < 2.0
    timer = threading.Timer(0.1, buffer.close)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(PoseError):
        buffer.wait("world", "cam", 0, 30.0)
    assert time.monotonic() - begin < 5.0
    timer.join()


class Counted(int):
    """A stamp that counts how often stamps are compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) < int(other)


def test_a_lookup_takes_the_logarithm_of_what_is_remembered() -> None:
    """Ten seconds of a 500 Hz arm: 5000 samples, 13 halvings, and as many for the nearest stamp."""
    buffer = TfBuffer(cache_s=10)
    for tick in range(5000):
        buffer.add("base", "link", Counted(tick * 2_000_000), np.eye(4))
    Counted.compared = 0
    buffer.lookup("base", "link", 5 * S + 1)
    assert 0 < Counted.compared <= 14
    Counted.compared = 0
    assert buffer.nearest_stamp("link", 5 * S + 1) == 5 * S
    assert 0 < Counted.compared <= 15


def test_what_is_forgotten_is_freed() -> None:
    buffer = TfBuffer(cache_s=1)
    for tick in range(5000):
        buffer.add("base", "link", tick * 2_000_000, np.eye(4))
    assert len(buffer._edges["link"].stamps_ns) <= 2 * 501
