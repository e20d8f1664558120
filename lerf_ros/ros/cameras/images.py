# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image to arrays. Sizes are checked against the bytes that are there before anything is allocated."""

import numpy as np
from jaxtyping import Float32, UInt8
from sensor_msgs.msg import Image

from lerf_ros.errors import DepthError, ImageError, InputError

# channels in memory -> where red, green and blue are among them
COLOUR_ENCODINGS = {
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
}
DEPTH_ENCODINGS = {"16UC1": "u2", "32FC1": "f4"}
MILLIMETRE = np.float32(0.001)


def rgb_from_image(message: Image, max_pixels: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return the colours of an 8-bit image, red first, in an array of its own.

    Raises:
        ImageError: cause ``image_encoding``, ``image_no_pixels``, ``image_too_large`` or ``image_bytes``.
    """
    if message.encoding not in COLOUR_ENCODINGS:
        raise ImageError(
            "image_encoding",
            f"image encoding {message.encoding!r} is not one of {', '.join(COLOUR_ENCODINGS)}: "
            "have the driver publish one of these, or convert it with image_proc",
        )
    channels, order = COLOUR_ENCODINGS[message.encoding]
    rows = _rows(message, channels, max_pixels, ImageError, "image")
    pixels = rows.reshape(message.height, message.width, channels)
    return np.ascontiguousarray(pixels[:, :, order])


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
    rows = _rows(message, dtype.itemsize, max_pixels, DepthError, "depth")
    raw = np.ascontiguousarray(rows).view(dtype).reshape(message.height, message.width)
    depth_m = raw * MILLIMETRE if message.encoding == "16UC1" else raw.astype(np.float32)
    with np.errstate(invalid="ignore"):
        valid = (depth_m >= min_m) & (depth_m <= max_m)  # false for NaN, infinity and 0
    if not valid.any():
        raise DepthError(
            "depth_empty",
            f"no depth pixel lies within {min_m} to {max_m} m: is the camera covered, too near, or the unit wrong?",
        )
    return np.where(valid, depth_m, np.float32(0)).astype(np.float32, copy=False)


def image_from_rgb(rgb: UInt8[np.ndarray, "H W 3"], frame_id: str, stamp_ns: int) -> Image:
    """Return an rgb8 message."""
    return _image(np.ascontiguousarray(rgb), "rgb8", frame_id, stamp_ns)


def image_from_depth(depth_m: Float32[np.ndarray, "H W"], frame_id: str, stamp_ns: int) -> Image:
    """Return a 16UC1 message: millimetres, rounded; 0 stays 0, what does not fit becomes 0."""
    millimetres = np.rint(np.nan_to_num(depth_m, nan=0.0, posinf=0.0, neginf=0.0) * 1000.0)
    fits = (millimetres > 0) & (millimetres <= np.iinfo(np.uint16).max)
    return _image(np.where(fits, millimetres, 0).astype("<u2"), "16UC1", frame_id, stamp_ns)


def _image(array: np.ndarray, encoding: str, frame_id: str, stamp_ns: int) -> Image:
    message = Image(height=array.shape[0], width=array.shape[1], encoding=encoding, is_bigendian=0)
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.step = array.strides[0]
    message.data = array.tobytes()  # bytes: a numpy array is taken too, a hundred times slower
    return message


def _rows(
    message: Image, pixel_bytes: int, max_pixels: int, error: type[InputError], what: str
) -> UInt8[np.ndarray, "H row"]:
    """Return the image's bytes without the padding of its rows, a view of the message's own."""
    width, height, step = message.width, message.height, message.step
    if width == 0 or height == 0:
        raise error(f"{what}_no_pixels", f"{what} of {width} x {height} has no pixels")
    if width * height > max_pixels:
        raise error(f"{what}_too_large", f"{what} of {width} x {height} exceeds input.max_pixels = {max_pixels}")
    if step < width * pixel_bytes:
        raise error(f"{what}_bytes", f"{what} step of {step} bytes is too short for {width} {message.encoding} pixels")
    if len(message.data) < step * height:
        raise error(
            f"{what}_bytes", f"{what} has {len(message.data)} bytes, not the {step * height} of {height} rows of {step}"
        )
    flat = np.frombuffer(message.data, np.uint8, count=step * height)
    return flat.reshape(height, step)[:, : width * pixel_bytes]
