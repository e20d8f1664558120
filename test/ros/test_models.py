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
        ({"d": [0.1, 0.0, 0.0, 0.0], "distortion_model": "omnidirectional"}, "distortion_model"),
        ({"d": [0.1, 0.0, 0.0, 0.0, 0.0], "distortion_model": "equidistant"}, "distortion"),
        ({"d": [0.1, float("inf"), 0.0, 0.0], "distortion_model": "fisheye"}, "distortion"),
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


WIDE = Intrinsics(width=320, height=240, fx=200.0, fy=205.0, cx=158.0, cy=121.5)
LENSES = {
    "plumb_bob": (-0.25, 0.08, 0.001, -0.002, 0.01),
    "rational_polynomial": (0.4, -0.3, 0.0005, 0.001, 0.05, 0.7, -0.2, 0.03),
    "equidistant": (-0.02, 0.01, -0.004, 0.0007),
    "fisheye": (0.0, 0.0, 0.0, 0.0),
}


def through_the_lens(model: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the lens puts a ray (x, y, 1): the models as they are published, written down once more."""
    d, r = LENSES[model], np.hypot(x, y)
    if model in ("equidistant", "fisheye"):  # Kannala and Brandt 2006
        theta = np.arctan(r)
        bent = theta + d[0] * theta**3 + d[1] * theta**5 + d[2] * theta**7 + d[3] * theta**9
        return x * bent / np.maximum(r, 1e-12), y * bent / np.maximum(r, 1e-12)
    k1, k2, p1, p2, k3, *below = d  # Brown-Conrady, over a second polynomial
    k4, k5, k6 = below or (0.0, 0.0, 0.0)
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    return (
        x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
        y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
    )


def rays() -> tuple[np.ndarray, np.ndarray]:
    v, u = np.mgrid[: WIDE.height, : WIDE.width].astype(float)
    return (u - WIDE.cx) / WIDE.fx, (v - WIDE.cy) / WIDE.fy


@pytest.mark.parametrize("name", LENSES)
def test_a_grid_seen_through_a_lens_comes_back(name: str) -> None:
    """Waves over u and v of the pinhole, painted where the lens puts them: undistorted, each pixel reads its own place.
    """
    x, y = rays()
    at_x, at_y = x.copy(), y.copy()
    for _ in range(60):  # which ray a distorted pixel sees: fixed point of the lens
        bent_x, bent_y = through_the_lens(name, at_x, at_y)
        at_x, at_y = at_x + (x - bent_x), at_y + (y - bent_y)
    seen_u, seen_v = at_x * WIDE.fx + WIDE.cx, at_y * WIDE.fy + WIDE.cy
    made = info_from_intrinsics(WIDE, "cam", 0)
    made.distortion_model, made.d = name, list(LENSES[name])
    model = camera_model(made)
    assert model.fisheye == (name in ("equidistant", "fisheye"))
    v, u = np.mgrid[: WIDE.height, : WIDE.width]
    assert np.hypot(seen_u - u, seen_v - v).max() > 2.0, "the lens moves it"
    for seen, want in ((seen_u, u), (seen_v, v)):
        for phase in (0.0, np.pi / 2):  # a wave of 40 pixels, where it is steep: 1 pixel is 15.7 grey levels
            wave = np.rint(127.5 + 100 * np.sin(2 * np.pi * seen / 40 + phase))
            rgb = np.repeat(np.clip(wave, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
            straight = Undistorter().apply(model, rgb, None)
            mask = np.ones(u.shape, bool) if straight.mask is None else straight.mask
            assert mask.mean() > 0.7
            angle = 2 * np.pi * want / 40 + phase
            steep = mask & (np.abs(np.cos(angle)) > 0.8)
            off = straight.rgb[..., 0].astype(float) - (127.5 + 100 * np.sin(angle))
            off_px = (off / (100 * 2 * np.pi / 40 * np.cos(angle)))[steep]
            assert np.abs(off_px).mean() < 0.05
            assert np.percentile(np.abs(off_px), 99) < 0.1


def test_a_fisheye_without_coefficients_is_no_pinhole() -> None:
    made = info_from_intrinsics(WIDE, "cam", 0)
    made.distortion_model, made.d = "equidistant", []
    model = camera_model(made)
    assert model == CameraModel(WIDE, (0.0,) * 4, fisheye=True)
    depth = np.zeros((240, 320), np.float32)
    depth[:, 158 + round(200 * np.arctan(0.7))] = 1.0  # where such a lens shows the rays x = 0.7 of the middle row
    straight = Undistorter().depth(model, depth)
    assert straight[121, round(158 + 200 * 0.7)] == 1.0


def test_where_a_polynomial_turns_back_nothing_is_seen() -> None:
    """r (1 - 0.6 r^2) grows until r = 0.745: beyond, what is nearer the axis would be shown once more."""
    small = Intrinsics(width=320, height=240, fx=120.0, fy=120.0, cx=159.5, cy=119.5)
    straight = Undistorter().apply(CameraModel(small, (-0.6, 0.0, 0.0, 0.0)), np.full((240, 320, 3), 9, np.uint8), None)
    v, u = np.mgrid[:240, :320]
    r = np.hypot(u - 159.5, v - 119.5) / 120
    assert straight.mask is not None
    assert straight.mask[r < 0.73].all()
    assert not straight.mask[r > 0.76].any()
    assert not straight.rgb[r > 0.76].any()


def test_new_intrinsics_make_new_tables() -> None:
    undistorter, rgb = Undistorter(), np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    models = [CameraModel(Intrinsics(80, 60, f, f, 40.0, 30.0), (-0.2, 0.0, 0.0, 0.0)) for f in (70.0, 90.0)]
    first, second, again = (undistorter.apply(models[k], rgb, None).rgb for k in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


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
