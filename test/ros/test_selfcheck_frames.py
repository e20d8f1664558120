# SPDX-License-Identifier: Apache-2.0
"""Each fault of frames on purpose, on exact images of a known scene; and none where nothing is wrong."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from analytic import Box, Cylinder, Sphere, look_at, render
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from lerf_ros.core.geometry import Intrinsics, invert
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.cameras.images import image_from_depth
from lerf_ros.ros.selfcheck.axes import BODY
from lerf_ros.ros.selfcheck.check import SelfCheck
from lerf_ros.ros.selfcheck.stamps import StampCheck
from lerf_ros.ros.selfcheck.units import depth_unit
from lerf_ros.ros.selfcheck.watch import SimulatedClock

SCENE = (
    Box((0.1, 0.05, 0.06), (0.1, 0.15, 0.12), 0.4, (190, 140, 90)),
    Sphere((-0.1, 0.0, 0.05), 0.05, (200, 60, 40)),
    Cylinder((0.0, -0.15, 0.1), 0.04, 0.2, (120, 160, 90)),
)
SMALL = Intrinsics(160, 120, 140.0, 140.0, 79.5, 59.5)
FRAMES = 40
OPTICAL = "wrist_optical_frame"
Images = list[PosedImage]


def noisy(image: PosedImage, rng: np.random.Generator) -> PosedImage:
    """As a camera has it: 2 mm and half a percent of noise, a tenth of the depth missing, colours that flicker."""
    assert image.depth_m is not None
    depth = image.depth_m * (1 + 0.005 * rng.normal(size=image.depth_m.shape)) + 0.002 * rng.normal(
        size=image.depth_m.shape
    )
    depth[(rng.random(depth.shape) < 0.1) | (image.depth_m == 0) | (image.depth_m > 4)] = 0
    rgb = np.clip(image.rgb + rng.normal(0, 3, image.rgb.shape), 0, 255).astype(np.uint8)
    return replace(image, rgb=rgb, depth_m=depth.astype(np.float32), camera=OPTICAL)


def scan() -> Images:
    """A camera that circles over the scene, turning as it goes: 2 cm and more a frame."""
    rng = np.random.default_rng(1)
    made = []
    for k in range(FRAMES):
        a = 0.07 * k
        eye = (0.5 * np.cos(a), 0.5 * np.sin(a), 0.4 + 0.08 * np.sin(1.7 * a))
        pose = look_at(eye, (0.05 * np.sin(3 * a), 0.0, 0.03))
        made.append(noisy(render(SCENE, pose, (k + 1) * 10**8, SMALL), rng))
    return made


@pytest.fixture(scope="module")
def good() -> Images:
    return scan()


def warned(images: Sequence[PosedImage], check: SelfCheck | None = None) -> set[str]:
    check = check or SelfCheck()
    for image in images:
        check.accepted(image)
    return {w.split(":")[0] for w in check.warnings}


def posed(images: Images, turn: Callable[[np.ndarray], np.ndarray]) -> Images:
    return [replace(image, T_world_cam=turn(image.T_world_cam)) for image in images]


def as_body(T: np.ndarray) -> np.ndarray:
    """The pose of the body frame whose optical frame is at `T`."""
    out = T.copy()
    out[:3, :3] = T[:3, :3] @ BODY.T
    return out


def test_nothing_is_wrong_with_a_good_stream(good: Images) -> None:
    assert warned(good) == set()


def test_nothing_is_wrong_with_a_good_stream_without_depth(good: Images) -> None:
    assert warned([replace(image, depth_m=None) for image in good]) == set()


def test_poses_of_the_body_frame_whatever_it_is_called(good: Images) -> None:
    check = SelfCheck()
    assert warned(posed(good, as_body), check) == {"frame_not_optical"}
    assert "body frame" in check.warnings[0]
    assert warned(good, check) == set(), "cured"


def test_poses_in_axes_of_opengl(good: Images) -> None:
    check = SelfCheck()
    assert warned(posed(good, lambda T: T @ np.diag([1.0, -1.0, -1.0, 1.0])), check) == {"frame_not_optical"}
    assert "OpenGL" in check.warnings[0]


def test_poses_that_are_inverted(good: Images) -> None:
    assert warned(posed(good, invert)) == {"pose_inverted"}


def test_a_frame_without_the_name_is_fine_once_depth_says_so(good: Images) -> None:
    check = SelfCheck()
    named = [replace(image, camera="camera_link") for image in good]
    assert warned(named[:1], check) == {"frame_not_optical"}
    assert warned(named[1:], check) == set()


@pytest.mark.parametrize(
    ("times", "told"), [(10.0, "10 times too large"), (4.0, "4 times too large"), (0.1, "10 times too small")]
)
def test_depth_in_another_unit(good: Images, times: float, told: str) -> None:
    check = SelfCheck()
    scaled = [replace(image, depth_m=image.depth_m * np.float32(times)) for image in good]
    assert warned(scaled, check) == {"depth_unit"}
    assert told in check.warnings[0]


def test_poses_that_are_merely_bad_are_blamed_on_nothing(good: Images) -> None:
    rng = np.random.default_rng(2)
    lost = [replace(image, T_world_cam=look_at(rng.uniform((-1, -1, 1), (1, 1, 3)), (0, 0, 0))) for image in good]
    assert warned(lost) == set()


def test_an_image_that_is_frozen(good: Images) -> None:
    check = SelfCheck()
    assert warned([replace(image, rgb=good[0].rgb) for image in good[:10]], check) == {"image_frozen"}
    assert warned(good[10:], check) == set()


def test_a_camera_that_stands_still_before_a_still_scene_is_not_frozen(good: Images) -> None:
    assert warned([replace(good[0], stamp_ns=n * 10**8) for n in range(20)]) == set()


def test_depth_that_is_frozen(good: Images) -> None:
    check = SelfCheck()
    frozen = [replace(image, depth_m=good[0].depth_m) for image in good[:10]]
    assert "depth_frozen" in warned(frozen, check)
    assert warned([*good[10:], *good], check) == set()


def test_depth_that_is_one_and_the_same_number(good: Images) -> None:
    assert good[0].depth_m is not None
    check = SelfCheck()
    warned([replace(image, depth_m=np.full_like(good[0].depth_m, 0.5)) for image in good[:10]], check)
    assert any(w.startswith("depth_frozen: ") and "every pixel" in w for w in check.warnings)


def test_moving_across_a_plane_that_faces_the_camera_does_not_freeze_depth(good: Images) -> None:
    rng = np.random.default_rng(0)
    depth = np.full((120, 160), 0.5, np.float32)
    images = []
    for n, image in enumerate(good[:20]):
        T = np.eye(4)
        T[0, 3] = 0.01 * n
        rgb = rng.integers(80, 120, image.rgb.shape).astype(np.uint8)
        images.append(replace(image, T_world_cam=T, depth_m=depth, rgb=rgb))
    assert warned(images) == set()


def test_red_and_blue_exchanged_is_suspected(good: Images) -> None:
    wood = np.array([190, 140, 90]) - 128  # a table of wood, instead of the grey plane
    warm = [replace(image, rgb=np.clip(image.rgb.astype(int) + wood, 0, 255).astype(np.uint8)) for image in good]
    assert warned(warm) == set()
    check = SelfCheck()
    swapped = [replace(image, rgb=np.ascontiguousarray(image.rgb[..., ::-1])) for image in warm]
    assert warned(swapped, check) == {"colour_order_suspected"}
    assert "rgb8 for bgr8" in check.warnings[0]
    assert warned(warm, check) == set()


def stamp(ns: int) -> Time:
    return Time(sec=ns // 10**9, nanosec=ns % 10**9)


def faults(check: StampCheck, stamps_ns: Sequence[int], now: Callable[[int], int]) -> set[str]:
    found: dict[str, str | None] = {}
    for ns in stamps_ns:
        found |= check.look(stamp(ns), now(ns))
    return {name for name, text in found.items() if text}


STAMPS = [10**18 + n * 33_000_000 for n in range(60)]


def test_good_stamps() -> None:
    assert faults(StampCheck(), STAMPS, lambda ns: ns + 80_000_000) == set()
    burst = [ns + (10**9 if n % 20 == 0 else 10**7) for n, ns in enumerate(STAMPS)]
    late = dict(zip(STAMPS, burst, strict=True))
    assert faults(StampCheck(), STAMPS, late.__getitem__) == set(), "one late frame is no skew"


def test_stamps_of_zero_until_they_are_not() -> None:
    check = StampCheck()
    assert faults(check, [0] * 3, lambda _: 10**18) == {"stamps_zero"}
    assert faults(check, STAMPS, lambda ns: ns) == set()


def test_stamps_that_stand_still() -> None:
    check = StampCheck()
    assert faults(check, [STAMPS[0]] * 4, lambda ns: ns) == set()
    assert faults(check, [STAMPS[0]], lambda ns: ns) == {"stamps_constant"}
    assert faults(check, STAMPS[1:], lambda ns: ns) == set()


@pytest.mark.parametrize(("late_s", "word"), [(-0.2, "ahead"), (5.0, "old or more")])
def test_clocks_that_differ(late_s: float, word: str) -> None:
    check = StampCheck()
    found: dict[str, str | None] = {}
    for ns in STAMPS:
        found |= check.look(stamp(ns), ns + int(late_s * 1e9))
    assert word in (found["clock_skew"] or "")
    assert faults(check, STAMPS, lambda ns: ns) == set()


DEPTH = np.linspace(0.4, 3.0, 4800, dtype=np.float32).reshape(60, 80)


def raw(values: np.ndarray, encoding: str) -> Image:
    message = Image(height=60, width=80, encoding=encoding, step=80 * values.itemsize)
    message.data = values.tobytes()
    return message


def test_units_that_are_right() -> None:
    assert depth_unit(image_from_depth(DEPTH, OPTICAL, 0)) == {"depth_unit_encoding": None}
    assert depth_unit(raw(DEPTH, "32FC1")) == {"depth_unit_encoding": None}
    assert depth_unit(raw(np.full_like(DEPTH, np.nan), "32FC1")) == {}
    assert depth_unit(CompressedImage()) == {}
    assert depth_unit(Image(encoding="16UC1")) == {}


def test_metres_as_integers_and_millimetres_as_floats() -> None:
    metres = depth_unit(raw(np.rint(DEPTH).astype("<u2"), "16UC1"))["depth_unit_encoding"]
    assert metres is not None
    assert "seems to be metres" in metres
    millimetres = depth_unit(raw(DEPTH * 1000, "32FC1"))["depth_unit_encoding"]
    assert millimetres is not None
    assert "seems to be millimetres" in millimetres


def test_simulated_time_that_does_not_run() -> None:
    def text(clock: SimulatedClock, now_ns: int, steady_s: float, publishers: int) -> str:
        return clock.look(True, now_ns, steady_s, publishers)["clock_not_running"] or ""

    clock = SimulatedClock()
    assert "--clock" in text(clock, 0, 0.0, 0)
    assert "paused" in text(clock, 0, 1.0, 1)
    assert text(clock, 10**9, 2.0, 1) == ""
    assert text(clock, 10**9, 5.0, 1) == ""
    assert "stands still at 1.000" in text(clock, 10**9, 7.0, 1)
    assert text(clock, 2 * 10**9, 8.0, 1) == ""
    assert clock.look(False, 0, 100.0, 0) == {"clock_not_running": None}
