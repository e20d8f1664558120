# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CameraInfo to intrinsics, and images to what a pinhole camera would have seen."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from sensor_msgs.msg import CameraInfo

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.errors import DepthError, ImageError, IntrinsicsError

MODELS = ("plumb_bob", "rational_polynomial")  # OpenCV's own, told apart by the number of coefficients
COEFFICIENTS = (4, 5, 8, 12, 14)


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of the images as they arrive, and their distortion (empty: none), in OpenCV's order."""

    intrinsics: Intrinsics
    distortion: tuple[float, ...]


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
    return CameraModel(binned if (columns, rows) != (1, 1) else full, _distortion(info))


def _distortion(info: CameraInfo) -> tuple[float, ...]:
    coefficients = tuple(float(d) for d in info.d)
    none = not any(coefficients) and all(map(math.isfinite, coefficients))
    if none and info.distortion_model in ("", *MODELS):
        return ()
    if info.distortion_model not in MODELS:  # of a fisheye even zero coefficients are no pinhole
        raise IntrinsicsError(
            "distortion_model",
            f"distortion model {info.distortion_model!r} is not one of {', '.join(MODELS)}: publish rectified images "
            "with a CameraInfo whose D is empty",
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
        if depth_m is not None and depth_m.shape != size:
            raise DepthError(
                "depth_size",
                f"depth is {depth_m.shape[1]} x {depth_m.shape[0]} but colour is {size[1]} x {size[0]}: "
                "subscribe to the depth image registered to colour",
            )
        if not model.distortion:
            return Undistorted(rgb, depth_m, None)
        self._prepare(model)
        straight = cv2.remap(rgb, self._map_u, self._map_v, cv2.INTER_LINEAR)
        depth = None if depth_m is None else cv2.remap(depth_m, self._map_u, self._map_v, cv2.INTER_NEAREST)
        seen = (self._map_u >= 0) & (self._map_u <= size[1] - 1) & (self._map_v >= 0) & (self._map_v <= size[0] - 1)
        return Undistorted(np.asarray(straight), None if depth is None else np.asarray(depth), seen)

    def _prepare(self, model: CameraModel) -> None:
        if model == self._model:
            return
        i = model.intrinsics
        k = np.array([[i.fx, 0.0, i.cx], [0.0, i.fy, i.cy], [0.0, 0.0, 1.0]])
        maps = cv2.initUndistortRectifyMap(
            k, np.array(model.distortion), np.eye(3), k, (i.width, i.height), cv2.CV_32FC1
        )
        self._map_u, self._map_v = (np.asarray(m, np.float32) for m in maps)
        self._model = model
