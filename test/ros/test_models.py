# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.errors import DepthError, ImageError, IntrinsicsError
from lerf_ros.ros.cameras.models import CameraModel, Undistorter, camera_model, info_from_intrinsics

PINHOLE = Intrinsics(width=80, height=60, fx=70.0, fy=71.0, cx=39.0, cy=30.5)


def info(**changes: object) -> CameraInfo:
    made = info_from_intrinsics(PINHOLE, "cam", 0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_intrinsics_round_trip() -> None:
    assert camera_model(info()) == CameraModel(PINHOLE, ())
    assert camera_model(info(d=[], distortion_model="")) == CameraModel(PINHOLE, ())


def test_region_of_interest_moves_the_principal_point() -> None:
    model = camera_model(info(roi=RegionOfInterest(x_offset=10, y_offset=20, width=40, height=30)))
    assert model.intrinsics == Intrinsics(40, 30, 70.0, 71.0, 29.0, 10.5)


def test_binning_scales_with_pixel_centres_kept() -> None:
    model = camera_model(info(binning_x=2, binning_y=2))
    assert model.intrinsics == Intrinsics(40, 30, 35.0, 35.5, 19.25, 15.0)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"k": [0.0] * 9}, "intrinsics"),
        ({"k": [float("nan"), 0, 1, 0, 1, 1, 0, 0, 1.0]}, "intrinsics"),
        ({"width": 0}, "image_size"),
        ({"d": [0.1, 0.0, 0.0, 0.0], "distortion_model": "equidistant"}, "distortion_model"),
        ({"d": [0.1, 0.0, 0.0]}, "distortion"),
        ({"d": [float("nan")] * 5}, "distortion"),
    ],
)
def test_a_camera_that_cannot_be_used_is_refused_by_name(changes: dict[str, object], cause: str) -> None:
    with pytest.raises(IntrinsicsError) as caught:
        camera_model(info(**changes))
    assert caught.value.cause == cause


def test_undistortion_moves_a_dot_to_where_a_pinhole_camera_sees_it() -> None:
    distortion = (-0.25, 0.08, 0.001, -0.002, 0.0)
    model = camera_model(info(d=list(distortion)))
    assert model.distortion == distortion
    ray = np.array([[[0.3, -0.25, 1.0]]])  # a point of the scene
    k = np.array([[70.0, 0, 39.0], [0, 71.0, 30.5], [0, 0, 1]])
    seen, _ = cv2.projectPoints(ray, np.zeros(3), np.zeros(3), k, np.array(distortion))
    u, v = seen.ravel()
    ideal_u, ideal_v = 70.0 * 0.3 + 39.0, 71.0 * -0.25 + 30.5
    assert np.hypot(u - ideal_u, v - ideal_v) > 0.5, "the lens moves it"
    columns, rows = np.meshgrid(np.arange(80), np.arange(60))
    blob = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 4)
    rgb = np.repeat((blob * 255).astype(np.uint8)[..., None], 3, axis=2)
    straight = Undistorter().apply(model, rgb, blob.astype(np.float32))
    for picture in (straight.rgb[..., 0].astype(float), straight.depth_m):
        assert picture is not None
        weight = picture / picture.sum()
        assert abs((weight * columns).sum() - ideal_u) < 0.35
        assert abs((weight * rows).sum() - ideal_v) < 0.35
    assert straight.depth_m is not None
    assert set(np.unique(straight.depth_m)) <= {*np.unique(blob.astype(np.float32)), 0.0}, "depth is never mixed"


def test_pixels_the_lens_never_saw_are_masked() -> None:
    model = camera_model(info(d=[0.3, 0.0, 0.0, 0.0, 0.0]))  # pincushion: corners come from outside the image
    straight = Undistorter().apply(model, np.full((60, 80, 3), 200, np.uint8), None)
    assert straight.mask is not None
    assert not straight.mask[0, 0]
    assert straight.mask[30, 40]
    assert (straight.rgb[straight.mask] == 200).all()


def test_without_distortion_images_pass_untouched() -> None:
    rgb = np.zeros((60, 80, 3), np.uint8)
    assert Undistorter().apply(camera_model(info()), rgb, None).rgb is rgb


def test_size_contradictions_are_named() -> None:
    model = camera_model(info())
    with pytest.raises(ImageError, match="40 x 30 but CameraInfo says 80 x 60") as image:
        Undistorter().apply(model, np.zeros((30, 40, 3), np.uint8), None)
    assert image.value.cause == "image_size"
    with pytest.raises(DepthError, match="registered") as depth:
        Undistorter().apply(model, np.zeros((60, 80, 3), np.uint8), np.zeros((30, 40), np.float32))
    assert depth.value.cause == "depth_size"
