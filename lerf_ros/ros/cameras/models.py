# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CameraInfo to intrinsics, and images to what a pinhole camera would have seen."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from sensor_msgs.msg import CameraInfo

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.errors import DepthError, ImageError, IntrinsicsError

MODELS = ("plumb_bob", "rational_polynomial")  # OpenCV's own, told apart by the number of coefficients
COEFFICIENTS = (4, 5, 8, 12, 14)
FISHEYES = ("equidistant", "fisheye")  # Kannala-Brandt, OpenCV's fisheye module; the first name is ROS's
FISHEYE_COEFFICIENTS = 4
RADIAL_STEPS = 512


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of the images as they arrive, and their distortion (empty: none), in OpenCV's order.

    `fisheye` tells what the coefficients mean; there are always four of it, even if all are zero.
    """

    intrinsics: Intrinsics
    distortion: tuple[float, ...]
    fisheye: bool = False


@dataclass(frozen=True)
class Undistorted:
    """Images of a pinhole camera; `mask` is False where the camera saw nothing (None: True everywhere)."""

    rgb: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"] | None
    mask: Bool[np.ndarray, "H W"] | None


def camera_model(info: CameraInfo) -> CameraModel:
    """Return K and D of a CameraInfo, brought to the region of interest and binning of the image (REP 104).

    Raises:
        IntrinsicsError: cause ``intrinsics`` (not calibrated), ``image_size``, ``distortion_model`` (unknown) or
            ``distortion`` (not finite, wrong number).
    """
    roi = info.roi
    full = Intrinsics(
        width=roi.width or info.width,
        height=roi.height or info.height,
        fx=float(info.k[0]),
        fy=float(info.k[4]),
        cx=float(info.k[2]) - roi.x_offset,
        cy=float(info.k[5]) - roi.y_offset,
    )
    columns, rows = max(1, info.binning_x), max(1, info.binning_y)
    binned = full.scaled(max(1, full.width // columns), max(1, full.height // rows))
    used = binned if (columns, rows) != (1, 1) else full
    fisheye = info.distortion_model in FISHEYES
    return CameraModel(used, _fisheye_distortion(info) if fisheye else _distortion(info), fisheye)


def _fisheye_distortion(info: CameraInfo) -> tuple[float, ...]:
    """Return the four coefficients; where none are given they are zero, which is a fisheye still."""
    coefficients = tuple(float(d) for d in info.d) or (0.0,) * FISHEYE_COEFFICIENTS
    if len(coefficients) != FISHEYE_COEFFICIENTS or not all(map(math.isfinite, coefficients)):
        raise IntrinsicsError(
            "distortion",
            f"{info.distortion_model} distortion {coefficients} is not {FISHEYE_COEFFICIENTS} finite numbers",
        )
    return coefficients


def _distortion(info: CameraInfo) -> tuple[float, ...]:
    coefficients = tuple(float(d) for d in info.d)
    none = not any(coefficients) and all(map(math.isfinite, coefficients))
    if none and info.distortion_model in ("", *MODELS):
        return ()
    if info.distortion_model not in MODELS:
        raise IntrinsicsError(
            "distortion_model",
            f"distortion model {info.distortion_model!r} is not one of {', '.join(MODELS + FISHEYES)}: publish "
            "rectified images with a CameraInfo whose D is empty",
        )
    if len(coefficients) not in COEFFICIENTS or not all(map(math.isfinite, coefficients)):
        raise IntrinsicsError("distortion", f"distortion {coefficients} is not {COEFFICIENTS} finite numbers")
    return coefficients


def info_from_intrinsics(intrinsics: Intrinsics, frame_id: str, stamp_ns: int) -> CameraInfo:
    """Return the CameraInfo of an undistorted camera."""
    i = intrinsics
    info = CameraInfo(height=i.height, width=i.width, distortion_model="plumb_bob")
    info.header.frame_id = frame_id
    info.header.stamp.sec, info.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    info.d = [0.0] * 5
    info.k = [i.fx, 0.0, i.cx, 0.0, i.fy, i.cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [i.fx, 0.0, i.cx, 0.0, 0.0, i.fy, i.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


class Undistorter:
    """Removes lens distortion, keeping the intrinsics; remembers the lookup tables of the last camera model."""

    def __init__(self) -> None:
        self._model: CameraModel | None = None
        self._map_u = np.empty((0, 0), np.float32)
        self._map_v = np.empty((0, 0), np.float32)
        self._seen = np.empty((0, 0), np.bool_)

    def apply(
        self, model: CameraModel, rgb: UInt8[np.ndarray, "H W 3"], depth_m: Float32[np.ndarray, "H W"] | None
    ) -> Undistorted:
        """Return the images undistorted: colour linearly interpolated, depth from the nearest pixel.

        Raises:
            ImageError: cause ``image_size``, the image is not of the model's size.
            DepthError: cause ``depth_size``, the same of the depth.
        """
        size = (model.intrinsics.height, model.intrinsics.width)
        if rgb.shape[:2] != size:
            raise ImageError(
                "image_size",
                f"image is {rgb.shape[1]} x {rgb.shape[0]} but CameraInfo says {size[1]} x {size[0]}: "
                "is this the CameraInfo of this stream?",
            )
        depth = None if depth_m is None else self.depth(model, depth_m)
        if not model.distortion:
            return Undistorted(rgb, depth, None)
        self._prepare(model)
        straight = cv2.remap(rgb, self._map_u, self._map_v, cv2.INTER_LINEAR)
        return Undistorted(np.asarray(straight), depth, self._seen)

    def depth(self, model: CameraModel, depth_m: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
        """Return depth seen by a camera undistorted, from the nearest pixel; 0 where the camera saw nothing.

        Raises:
            DepthError: cause ``depth_size``, it is not of the model's size.
        """
        width, height = model.intrinsics.width, model.intrinsics.height
        if depth_m.shape != (height, width):
            raise DepthError(
                "depth_size",
                f"depth is {depth_m.shape[1]} x {depth_m.shape[0]} but its camera is {width} x {height}: subscribe to "
                "the depth image registered to colour, or remap depth_camera_info to the depth camera's",
            )
        if not model.distortion:
            return depth_m
        self._prepare(model)
        return np.asarray(cv2.remap(depth_m, self._map_u, self._map_v, cv2.INTER_NEAREST), np.float32)

    def _prepare(self, model: CameraModel) -> None:
        if model == self._model:
            return
        i = model.intrinsics
        k = np.array([[i.fx, 0.0, i.cx], [0.0, i.fy, i.cy], [0.0, 0.0, 1.0]])
        lens, size = np.array(model.distortion), (i.width, i.height)
        maps = (
            cv2.fisheye.initUndistortRectifyMap(k, lens, np.eye(3), k, size, cv2.CV_32FC1)
            if model.fisheye
            else cv2.initUndistortRectifyMap(k, lens, np.eye(3), k, size, cv2.CV_32FC1)
        )
        u, v = (np.asarray(m, np.float32) for m in maps)
        seen = (u >= 0) & (u <= i.width - 1) & (v >= 0) & (v <= i.height - 1) & ~_folded(model)
        u[~seen] = -1  # nothing is looked up there
        self._map_u, self._map_v, self._seen, self._model = u, v, seen, model


def _folded(model: CameraModel) -> Bool[np.ndarray, "H W"]:
    """Return where a polynomial runs backwards: farther out than calibration saw, it shows the inside once more."""
    i = model.intrinsics
    x = (np.arange(i.width) - i.cx) / i.fx
    y = (np.arange(i.height) - i.cy) / i.fy
    radius = np.hypot(x[None, :], y[:, None])
    r = np.linspace(0.0, float(radius.max()), RADIAL_STEPS)
    backwards = np.flatnonzero(np.diff(_radial(model, r)) <= 0)
    return np.asarray(radius > (r[backwards[0]] if len(backwards) else np.inf))


def _radial(model: CameraModel, r: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """Return how far from the axis the lens puts what a pinhole sees at `r` (focal lengths)."""
    d = model.distortion
    if model.fisheye:
        theta = np.arctan(r)
        return np.asarray(theta * (1 + sum(k * theta ** (2 * n) for n, k in enumerate(d, start=1))))
    k1, k2, _, _, k3, k4, k5, k6 = (*d, *(0.0,) * 8)[:8]
    s = r * r
    return np.asarray(r * (1 + s * (k1 + s * (k2 + s * k3))) / (1 + s * (k4 + s * (k5 + s * k6))))
