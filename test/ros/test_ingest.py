# SPDX-License-Identifier: Apache-2.0
"""Frames to posed images: registered and separate depth, changing camera info, several cameras, compressed messages."""

import dataclasses

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo

from lerf_ros.config import Config, from_flat
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.errors import DepthError, InputError, PoseError
from lerf_ros.ros.cameras.compressed import compressed_from_depth, compressed_from_rgb
from lerf_ros.ros.cameras.frame import Frame
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.ingest import Ingest
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.poses.tf_buffer import TfBuffer
from lerf_ros.ros.selfcheck.check import SelfCheck
from lerf_ros.ros.settings import Settings

COLOR = Intrinsics(96, 72, 80.0, 80.0, 47.5, 35.5)
DEPTH = Intrinsics(64, 48, 48.0, 48.0, 31.5, 23.5)
COLOR_FRAME, DEPTH_FRAME = "color_optical_frame", "depth_optical_frame"
IDENTITY = (0.0, 0.0, 0.0, 1.0)
NOW_NS = 10**10
PLAIN = np.full((72, 96, 3), 90, np.uint8)
PLANE_M, BASELINE_M = 0.8, 0.05


def make(**options: object) -> tuple[Ingest, SelfCheck, TfBuffer]:
    given = {"input.tf_timeout_s": 0.0, "input.self_filter": "none", **{f"input.{k}": v for k, v in options.items()}}
    config: Config = from_flat(given)
    transforms, check = TfBuffer(), SelfCheck()
    transforms.record("base_link", COLOR_FRAME, 0, (0.1, 0.2, 0.3), IDENTITY, static=True)
    poses = CameraPoses(Settings(config), transforms)
    return Ingest(config.input, poses, lambda: NOW_NS, check), check, transforms


def frame(
    depth_frame: str = COLOR_FRAME, camera: Intrinsics = COLOR, depth_info: CameraInfo | None = None, name: str = ""
) -> Frame:
    depth_m = np.full((camera.height, camera.width), PLANE_M, np.float32)
    return Frame(
        image_from_rgb(PLAIN, COLOR_FRAME, NOW_NS), info_from_intrinsics(COLOR, COLOR_FRAME, NOW_NS),
        image_from_depth(depth_m, depth_frame, NOW_NS), name, depth_info,
    )  # fmt: skip


def depth_info(camera: Intrinsics = DEPTH) -> CameraInfo:
    return info_from_intrinsics(camera, DEPTH_FRAME, NOW_NS)


def names(check: SelfCheck) -> list[str]:
    return [warning.split(":")[0] for warning in check.warnings]


@pytest.mark.parametrize("depth_frame", [COLOR_FRAME, "/" + COLOR_FRAME, ""])
@pytest.mark.parametrize("info", [None, info_from_intrinsics(COLOR, DEPTH_FRAME, 0)])
def test_registered_depth_is_taken_as_it_is(depth_frame: str, info: CameraInfo | None) -> None:
    ingest, _, _ = make()
    image = ingest(frame(depth_frame, depth_info=info))
    assert image.depth_m is not None
    assert (image.depth_m == np.float32(PLANE_M)).all()
    assert image.T_world_cam[:3, 3].tolist() == [0.1, 0.2, 0.3]
    assert (image.camera, image.intrinsics) == (COLOR_FRAME, COLOR)


def test_depth_of_another_camera_is_seen_from_the_colour_camera() -> None:
    """A wall at 0.8 m, a depth camera of other size and angle 5 cm to the left and 2 cm nearer to it."""
    ingest, _, transforms = make()
    transforms.record(COLOR_FRAME, DEPTH_FRAME, 0, (-BASELINE_M, 0.0, 0.02), IDENTITY, static=True)
    image = ingest(frame(DEPTH_FRAME, DEPTH, depth_info()))
    assert image.depth_m is not None
    assert image.depth_m.shape == (72, 96)
    seen = image.depth_m > 0
    assert image.depth_m[seen] == pytest.approx(PLANE_M + 0.02, abs=1e-5)
    right_m = (63.5 - DEPTH.cx) / DEPTH.fx * PLANE_M - BASELINE_M  # the last of the wall that the depth camera sees
    last = COLOR.cx + COLOR.fx * right_m / (PLANE_M + 0.02)
    columns = np.flatnonzero(seen.all(axis=0))
    assert columns[0] == 0
    assert abs(columns[-1] - last) <= 1
    assert not seen[:, columns[-1] + 1 :].any()


def test_depth_of_another_size_in_the_same_frame_needs_only_its_camera_info() -> None:
    ingest, _, _ = make()
    with pytest.raises(DepthError, match=r"64 x 48 but its camera is 96 x 72.*depth_camera_info") as caught:
        ingest(frame(COLOR_FRAME, DEPTH))
    assert caught.value.cause == "depth_size"
    wide = Intrinsics(64, 48, 50.0, 50.0, 31.5, 23.5)
    image = ingest(frame(COLOR_FRAME, wide, depth_info(wide)))
    assert image.depth_m is not None
    assert image.depth_m == pytest.approx(np.full((72, 96), PLANE_M), abs=1e-5)


def test_depth_in_another_frame_without_its_camera_info_is_refused() -> None:
    ingest, check, _ = make()
    with pytest.raises(DepthError, match=r"remap it to the depth camera's.*never") as caught:
        ingest(frame(DEPTH_FRAME))
    assert caught.value.cause == "depth_camera_info"
    assert names(check) == ["depth_camera_info"]


def test_an_image_without_a_frame_is_refused_for_that() -> None:
    ingest, _, _ = make()
    nameless = frame()
    nameless.image.header.frame_id = ""
    with pytest.raises(PoseError) as caught:
        ingest(nameless)
    assert caught.value.cause == "frame_id_missing"


def test_registration_that_is_not_wanted_is_not_done() -> None:
    ingest, _, _ = make(depth_registration="never")
    image = ingest(frame(DEPTH_FRAME, COLOR, depth_info()))
    assert image.depth_m is not None
    assert (image.depth_m == np.float32(PLANE_M)).all()


def test_cameras_that_no_transform_connects_are_refused() -> None:
    ingest, _, _ = make()
    with pytest.raises(PoseError) as caught:
        ingest(frame(DEPTH_FRAME, DEPTH, depth_info()))
    assert caught.value.cause == "tf_unknown_frame"


def test_depth_that_misses_the_image_is_refused() -> None:
    ingest, _, transforms = make()
    transforms.record(COLOR_FRAME, DEPTH_FRAME, 0, (9.0, 0.0, 0.0), IDENTITY, static=True)
    with pytest.raises(DepthError, match="is the transform right") as caught:
        ingest(frame(DEPTH_FRAME, DEPTH, depth_info()))
    assert caught.value.cause == "depth_outside"


def test_a_depth_camera_with_a_lens_is_straightened_before() -> None:
    ingest, _, _ = make()
    bent = depth_info(COLOR)
    bent.d = [0.3, 0.0, 0.0, 0.0, 0.0]  # pincushion: the corners were not seen
    image = ingest(frame(COLOR_FRAME, COLOR, bent))
    assert image.depth_m is not None
    assert image.depth_m[0, 0] == 0
    assert image.depth_m[36, 48] == np.float32(PLANE_M)


def test_compressed_messages_are_the_same_images() -> None:
    ingest, _, _ = make()
    depth_m = np.full((72, 96), PLANE_M, np.float32)
    sent = dataclasses.replace(
        frame(),
        image=compressed_from_rgb(PLAIN, COLOR_FRAME, NOW_NS),
        depth=compressed_from_depth(depth_m, COLOR_FRAME, NOW_NS),
    )
    image = ingest(sent)
    assert image.depth_m == pytest.approx(depth_m)
    assert np.abs(image.rgb.astype(int) - PLAIN).max() <= 2


def test_a_camera_info_that_changes_is_told_once_and_each_image_keeps_its_own() -> None:
    ingest, check, _ = make()
    first = ingest(frame())
    zoomed = Intrinsics(96, 72, 120.0, 120.0, 47.5, 35.5)
    changed = dataclasses.replace(frame(), info=info_from_intrinsics(zoomed, COLOR_FRAME, NOW_NS))
    assert ingest(changed).intrinsics == zoomed
    assert names(check) == ["camera_info_changed"]
    assert "f 80.0 80.0" in check.warnings[0]
    assert "f 120.0 120.0" in check.warnings[0]
    assert ingest(frame()).intrinsics == COLOR == first.intrinsics
    assert ingest(frame()).intrinsics == COLOR
    assert len(check.warnings) == 1


def test_an_image_that_does_not_fit_the_new_camera_info_changes_nothing() -> None:
    ingest, check, _ = make()
    ingest(frame())
    other = dataclasses.replace(frame(), info=info_from_intrinsics(DEPTH, COLOR_FRAME, NOW_NS))
    with pytest.raises(InputError, match="96 x 72 but CameraInfo says 64 x 48"):
        ingest(other)
    ingest(frame())
    assert names(check) == ["image_size"]


def test_each_camera_has_a_size_and_a_lens_of_its_own() -> None:
    ingest, check, transforms = make(cameras=["wrist", "scene"], use_depth=False)
    transforms.record("base_link", "scene_optical_frame", 0, (0.0, 0.0, 1.0), IDENTITY, static=True)
    small = np.full((48, 64, 3), 30, np.uint8)
    bent = info_from_intrinsics(DEPTH, "scene_optical_frame", NOW_NS)
    bent.d = [0.3, 0.0, 0.0, 0.0, 0.0]
    scene = Frame(image_from_rgb(small, "scene_optical_frame", NOW_NS), bent, None, "scene")
    wrist = dataclasses.replace(frame(name="wrist"), depth=None)
    for _ in range(3):
        one, other = ingest(wrist), ingest(scene)
        assert (one.intrinsics, one.mask, one.depth_m) == (COLOR, None, None)
        assert other.intrinsics == DEPTH
        assert other.mask is not None
        assert other.T_world_cam[2, 3] == 1.0
    assert set(ingest.newest) == {COLOR_FRAME, "scene_optical_frame"}
    assert "camera_info_changed" not in names(check)
