# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image to arrays. Sizes are checked against the bytes that are there before anything is allocated."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from sensor_msgs.msg import Image

from lerf_ros.errors import DepthError, ImageError, InputError
from lerf_ros.ros.cameras.bridge import BRIDGED, bridge
from lerf_ros.ros.cameras.colours import COLOUR_ENCODINGS, to_rgb

DEPTH_ENCODINGS = {"16UC1": "u2", "32FC1": "f4"}
MILLIMETRE = np.float32(0.001)


def rgb_from_image(message: Image, max_pixels: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return the colours of an image, red first, 8 bits each, in an array of its own.

    Raises:
        ImageError: cause ``image_encoding``, ``image_no_pixels``, ``image_too_large`` or ``image_bytes``.
    """
    layout = COLOUR_ENCODINGS.get(message.encoding)
    if layout is None:
        raise ImageError(
            "image_encoding",
            f"image encoding {message.encoding!r} is not one of {', '.join(COLOUR_ENCODINGS)}: "
            "have the driver publish one of these, or convert it with image_proc",
        )
    if layout.even and (message.width % 2 or (layout.planar and message.height % 2)):
        raise ImageError("image_bytes", f"{message.encoding} of {message.width} x {message.height} has half a pixel")
    rows = _rows(message, layout.channels * layout.sample_bytes, layout.rows(message.height), max_pixels, ImageError)
    convert = bridge() if message.encoding in BRIDGED and not message.is_bigendian else None
    return to_rgb(rows, layout, bool(message.is_bigendian)) if convert is None else convert(message)


def depth_from_image(message: Image, max_pixels: int, min_m: float, max_m: float) -> Float32[np.ndarray, "H W"]:
    """Return z-depth in metres, 0 where there is none or it is not within [min_m, max_m] (REP 118).

    Raises:
        DepthError: cause ``depth_encoding``, ``depth_no_pixels``, ``depth_too_large``, ``depth_bytes`` or
            ``depth_empty`` (not one pixel is measured).
    """
    if message.encoding not in DEPTH_ENCODINGS:
        raise DepthError(
            "depth_encoding",
            f"depth encoding {message.encoding!r} is neither 16UC1 (millimetres) nor 32FC1 (metres)",
        )
    dtype = np.dtype(DEPTH_ENCODINGS[message.encoding]).newbyteorder(">" if message.is_bigendian else "<")
    rows = _rows(message, dtype.itemsize, message.height, max_pixels, DepthError)
    raw = np.ascontiguousarray(rows).view(dtype)
    return measured(metres(raw) if message.encoding == "16UC1" else raw.astype(np.float32), min_m, max_m)


def metres(millimetres: UInt16[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Return 16UC1 depth in metres."""
    return millimetres.astype(np.float32) * MILLIMETRE


def measured(depth_m: Float32[np.ndarray, "H W"], min_m: float, max_m: float) -> Float32[np.ndarray, "H W"]:
    """Return depth (an array of the caller's own, changed in place) with 0 for what is no measurement (REP 118).

    Raises:
        DepthError: cause ``depth_empty``, nothing is left.
    """
    valid = np.asarray(cv2.inRange(depth_m, min_m, max_m))  # 0 for NaN, infinity and 0
    if not valid.any():
        raise DepthError(
            "depth_empty",
            f"no depth pixel lies within {min_m} to {max_m} m: is the camera covered, too near, or the unit wrong?",
        )
    depth_m[valid == 0] = 0
    return depth_m


def image_from_rgb(rgb: UInt8[np.ndarray, "H W 3"], frame_id: str, stamp_ns: int) -> Image:
    """Return an rgb8 message."""
    return _image(np.ascontiguousarray(rgb), "rgb8", frame_id, stamp_ns)


def image_from_depth(depth_m: Float32[np.ndarray, "H W"], frame_id: str, stamp_ns: int) -> Image:
    """Return a 16UC1 message: millimetres, rounded; 0 stays 0, what does not fit becomes 0."""
    return _image(millimetres_of(depth_m), "16UC1", frame_id, stamp_ns)


def millimetres_of(depth_m: Float32[np.ndarray, "H W"]) -> UInt16[np.ndarray, "H W"]:
    """Return depth as 16UC1 has it: rounded; 0 stays 0, what does not fit becomes 0."""
    millimetres = np.rint(np.nan_to_num(depth_m, nan=0.0, posinf=0.0, neginf=0.0) * 1000.0)
    fits = (millimetres > 0) & (millimetres <= np.iinfo(np.uint16).max)
    return np.where(fits, millimetres, 0).astype("<u2")


def _image(array: np.ndarray, encoding: str, frame_id: str, stamp_ns: int) -> Image:
    message = Image(height=array.shape[0], width=array.shape[1], encoding=encoding, is_bigendian=0)
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.step = array.strides[0]
    message.data = array.tobytes()  # bytes: a numpy array is taken too, a hundred times slower
    return message


def _rows(
    message: Image, pixel_bytes: int, count: int, max_pixels: int, error: type[InputError]
) -> UInt8[np.ndarray, "R row"]:
    """Return the bytes of an image's `count` rows without their padding, a view of the message's own."""
    what = "depth" if error is DepthError else "image"
    width, height, step = message.width, message.height, message.step
    check_size(width, height, max_pixels, error)
    if step < width * pixel_bytes:
        raise error(f"{what}_bytes", f"{what} step of {step} bytes is too short for {width} {message.encoding} pixels")
    if len(message.data) < step * count:
        raise error(
            f"{what}_bytes", f"{what} has {len(message.data)} bytes, not the {step * count} of {count} rows of {step}"
        )
    flat = np.frombuffer(message.data, np.uint8, count=step * count)
    return flat.reshape(count, step)[:, : width * pixel_bytes]


def check_size(width: int, height: int, max_pixels: int, error: type[InputError]) -> None:
    """Check what an image claims to be.

    Raises:
        InputError: of type `error`, cause ``<what>_no_pixels`` or ``<what>_too_large``.
    """
    what = "depth" if error is DepthError else "image"
    if width <= 0 or height <= 0:
        raise error(f"{what}_no_pixels", f"{what} of {width} x {height} has no pixels")
    if width * height > max_pixels:
        raise error(f"{what}_too_large", f"{what} of {width} x {height} exceeds input.max_pixels = {max_pixels}")
