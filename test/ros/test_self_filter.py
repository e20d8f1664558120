# SPDX-License-Identifier: Apache-2.0
"""The robot leaves images, or images are dropped: never is one mapped with the robot in it."""

import dataclasses
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from analytic import CAMERA, Box, look_at, render
from sensor_msgs.msg import Image

from lerf_ros.config import InputConfig
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.errors import InputError
from lerf_ros.ros.cameras.models import CameraModel
from lerf_ros.ros.cameras.self_filter import DISCOVERY_S, SelfFilter, shared_folder
from lerf_ros.ros.poses.tf_buffer import TfBuffer

STAMP = 5 * 10**9
MODEL = CameraModel(CAMERA, ())
ARM = Box((0.1, 0.0, 0.15), (0.2, 0.06, 0.06), 0.4, (250, 250, 250))
VIEW = look_at((-0.3, -0.5, 0.5), (0.05, 0.0, 0.05))
URDF = """<robot name="r"><link name="base_link"/><link name="hand"><collision><geometry><box size="0.2 0.06 0.06"/>
</geometry></collision></link><link name="finger"><collision><geometry><sphere radius="0.01"/></geometry></collision>
</link><joint name="a" type="floating"><parent link="base_link"/><child link="hand"/></joint>
<joint name="b" type="floating"><parent link="hand"/><child link="finger"/></joint></robot>"""
NOWAIT = InputConfig(self_filter="urdf", tf_timeout_s=0.0, self_filter_padding_m=0.01)


def transforms(*missing: str) -> TfBuffer:
    buffer, half = TfBuffer(), 0.2
    if "hand" not in missing:
        for stamp, lift in ((0, -0.1), (2 * STAMP, 0.1)):  # halfway, at the image's stamp, it is where ARM is
            turn = (0.0, 0.0, float(np.sin(half)), float(np.cos(half)))
            buffer.record("base_link", "hand", stamp, (0.1, 0.0, 0.15 + lift), turn)
    if "finger" not in missing:
        buffer.record("hand", "finger", 0, (0.11, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), static=True)
    return buffer


def image() -> PosedImage:
    return render([ARM], VIEW, STAMP)


def on_arm(seen: PosedImage) -> np.ndarray:
    return np.asarray((seen.rgb == 250).all(axis=-1))


def cause(of: SelfFilter, seen: PosedImage) -> str:
    with pytest.raises(InputError) as refused:
        of.apply(seen, MODEL)
    return refused.value.cause


def mask_message(mask: np.ndarray, encoding: str = "mono8") -> Image:
    message = Image(height=mask.shape[0], width=mask.shape[1], step=mask.shape[1], encoding=encoding)
    message.data = mask.astype(np.uint8).tobytes()
    return message


def test_the_arm_leaves_mask_and_depth_where_it_was_at_the_stamp() -> None:
    robot = SelfFilter(NOWAIT, transforms())
    robot.descriptions.add(URDF)
    before = image()
    after = robot.apply(before, MODEL)
    arm = on_arm(before)
    assert arm.sum() > 1000
    assert after.mask is not None
    assert after.depth_m is not None
    assert not (after.mask & arm).any()
    assert (after.depth_m[arm] == 0).all()
    assert (~after.mask).sum() < 1.6 * arm.sum(), "padding of 1 cm around an arm of 6 cm"
    np.testing.assert_array_equal(after.depth_m[after.mask], before.depth_m[after.mask])
    np.testing.assert_array_equal(after.rgb, before.rgb)


def test_the_mask_of_the_lens_stays() -> None:
    robot = SelfFilter(NOWAIT, transforms())
    robot.descriptions.add(URDF)
    lens = np.ones((CAMERA.height, CAMERA.width), bool)
    lens[:20] = False
    after = robot.apply(dataclasses.replace(image(), mask=lens), MODEL)
    assert after.mask is not None
    assert not after.mask[:20].any()
    assert not (after.mask & on_arm(image())).any()


@pytest.mark.parametrize("missing", ["hand", "finger"])
def test_a_link_nobody_knows_the_place_of_drops_the_frame(missing: str) -> None:
    robot = SelfFilter(NOWAIT, transforms(missing))
    robot.descriptions.add(URDF)
    assert cause(robot, image()) == "self_filter_tf"


def test_a_link_whose_transform_comes_late_is_waited_for() -> None:
    buffer = transforms("finger")
    robot = SelfFilter(dataclasses.replace(NOWAIT, tf_timeout_s=5.0), buffer)
    robot.descriptions.add(URDF)
    late = threading.Timer(
        0.2, lambda: buffer.record("hand", "finger", 0, (0.11, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), static=True)
    )
    late.start()
    assert not (robot.apply(image(), MODEL).mask & on_arm(image())).any()
    late.join()


def test_without_a_description_frames_are_dropped_until_it_comes() -> None:
    robot = SelfFilter(NOWAIT, transforms())
    assert cause(robot, image()) == "self_filter_no_urdf"
    robot.descriptions.add("<robot/>")
    assert cause(robot, image()) == "self_filter_urdf"
    robot.descriptions.add(URDF)
    assert robot.apply(image(), MODEL).mask is not None


def test_a_description_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "arm.urdf"
    config = dataclasses.replace(NOWAIT, self_filter_urdf=str(file))
    assert cause(SelfFilter(config, transforms()), image()) == "self_filter_urdf"
    file.write_text(URDF)
    assert SelfFilter(config, transforms()).apply(image(), MODEL).mask is not None


def test_a_skipped_link_needs_no_transform() -> None:
    config = dataclasses.replace(NOWAIT, self_filter_skip=("finger",))
    robot = SelfFilter(config, transforms("finger"))
    robot.descriptions.add(URDF)
    assert not (robot.apply(image(), MODEL).mask & on_arm(image())).any()


def test_an_image_full_of_robot_is_dropped() -> None:
    robot = SelfFilter(dataclasses.replace(NOWAIT, self_filter_max_share=0.02), transforms())
    robot.descriptions.add(URDF)
    assert cause(robot, image()) == "self_filter_covered"


def test_auto_uses_what_is_offered_and_never_guesses() -> None:
    robot = SelfFilter(dataclasses.replace(NOWAIT, self_filter="auto"), transforms())
    assert robot.apply(image(), MODEL).mask is None, "nobody publishes a description or a mask"
    robot.offered = {"robot_description": True, "mask": False}.__getitem__
    assert cause(robot, image()) == "self_filter_no_urdf"
    robot.descriptions.add(URDF)
    assert robot.apply(image(), MODEL).mask is not None
    robot.offered = {"mask": True}.__getitem__
    assert cause(robot, image()) == "self_filter_no_mask"
    corner = np.zeros((CAMERA.height, CAMERA.width))
    corner[:30, :30] = 1
    robot.masks.add("", STAMP, mask_message(corner))
    both = robot.apply(image(), MODEL).mask
    assert both is not None
    assert not both[:30, :30].any()
    assert not (both & on_arm(image())).any()


MASKED = InputConfig(self_filter="mask", tf_timeout_s=0.0)


def test_a_mask_is_matched_by_stamp() -> None:
    robot = SelfFilter(MASKED, transforms())
    arm = on_arm(image())
    robot.masks.add("", STAMP + 10**9, mask_message(~arm * 255))
    assert cause(robot, image()) == "self_filter_no_mask"
    robot.masks.add("", STAMP + 10**7, mask_message(arm * 255))
    after = robot.apply(image(), MODEL)
    np.testing.assert_array_equal(after.mask, ~arm)
    assert after.depth_m is not None
    assert (after.depth_m[arm] == 0).all()


def test_masks_of_cameras_do_not_mix() -> None:
    robot = SelfFilter(MASKED, transforms())
    robot.masks.add("left", STAMP, mask_message(np.zeros((CAMERA.height, CAMERA.width))))
    assert robot.apply(image(), MODEL, "left").mask is None
    with pytest.raises(InputError, match="'right/mask'"):
        robot.apply(image(), MODEL, "right")


def test_a_mask_is_straightened_as_its_image_is() -> None:
    lens = (-0.3, 0.1, 0.0, 0.0, 0.0)
    raw = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    raw[60:180, 80:240] = 255
    robot = SelfFilter(MASKED, transforms())
    robot.masks.add("", STAMP, mask_message(raw))
    after = robot.apply(image(), CameraModel(CAMERA, lens)).mask
    k = np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]])
    assert (~after != (cv2.undistort(raw, k, np.array(lens)) > 127)).mean() < 0.01


@pytest.mark.parametrize(
    "bad", [mask_message(np.ones((10, 10))), mask_message(np.ones((CAMERA.height, CAMERA.width)), "rgb8"), Image()]
)
def test_a_mask_that_is_none(bad: Image) -> None:
    robot = SelfFilter(MASKED, transforms())
    robot.masks.add("", STAMP, bad)
    assert cause(robot, image()) == "self_filter_mask"


def test_waiting_for_a_mask_is_bounded() -> None:
    robot = SelfFilter(dataclasses.replace(MASKED, tf_timeout_s=0.1), transforms())
    begin = time.monotonic()
    assert cause(robot, image()) == "self_filter_no_mask"
    assert 0.1 <= time.monotonic() - begin < 2.0


def test_the_housing_around_the_camera_is_left_out() -> None:
    robot = SelfFilter(NOWAIT, transforms())
    robot.descriptions.add(URDF)
    inside = dataclasses.replace(image(), T_world_cam=transforms().lookup("base_link", "hand", STAMP))
    assert robot.apply(inside, MODEL).mask is None, "the camera is in the middle of the hand, and the finger beside it"


def test_packages_are_found_in_all_prefixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b" / "share" / "arm").mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}/a:{tmp_path}/b")
    assert shared_folder("arm") == tmp_path / "b" / "share" / "arm"
    with pytest.raises(LookupError, match="'leg'"):
        shared_folder("leg")


def test_auto_looks_for_a_robot_before_it_takes_images_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = dataclasses.replace(NOWAIT, self_filter="auto")
    seen, robot = image(), SelfFilter(auto, transforms())
    robot.begin()
    assert cause(robot, seen) == "self_filter_waiting"
    robot.descriptions.add(URDF)
    assert robot.apply(seen, MODEL).mask is not None, "no longer than until there is one"
    alone = SelfFilter(auto, transforms())
    alone.begin()
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + DISCOVERY_S)
    assert alone.apply(seen, MODEL) is seen, "nobody tells of a robot"
    never = SelfFilter(dataclasses.replace(NOWAIT, self_filter="none"), transforms())
    never.begin()
    assert never.apply(seen, MODEL) is seen
