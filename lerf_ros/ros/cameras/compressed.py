# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CompressedImage as image_transport's plugins `compressed` and `compressedDepth` write it.

`format` is the encoding of the raw image, then how it was compressed: "rgb8; jpeg compressed bgr8", "bgr8; png
compressed bgr8", or just "jpeg" from drivers that compress themselves. Depth: "16UC1; compressedDepth png" (or rvl).
"""

import struct

import cv2
import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from sensor_msgs.msg import CompressedImage

from lerf_ros.errors import DepthError, ImageError, InputError
from lerf_ros.ros.cameras import rvl
from lerf_ros.ros.cameras.colours import COLOUR_ENCODINGS, FULL_RANGE_16, to_rgb
from lerf_ros.ros.cameras.headers import claim_of
from lerf_ros.ros.cameras.images import check_size, measured, metres, millimetres_of

DEPTH_HEADER = struct.Struct("<iff")  # compression_common.hpp: format (0), then the two quantisation parameters
RVL_SIZE = struct.Struct("<II")  # columns, rows
SWAPPED_FROM = ("rgb", "bgr")
TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}


def rgb_from_compressed(message: CompressedImage, max_pixels: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return the colours of a JPEG or PNG, red first, 8 bits each.

    Raises:
        ImageError: cause ``image_format`` (neither, damaged, cut off), ``image_no_pixels`` or ``image_too_large``
            (claimed, before anything is decoded).
    """
    pixels = _decoded(bytes(message.data), max_pixels, ImageError)
    if pixels.dtype == np.uint16:
        pixels = np.asarray(cv2.convertScaleAbs(pixels, alpha=FULL_RANGE_16), np.uint8)
    encoding, _, compression = message.format.partition(";")
    if pixels.ndim == 2 and encoding.startswith("bayer_") and encoding in COLOUR_ENCODINGS:
        return to_rgb(pixels, COLOUR_ENCODINGS[encoding.removesuffix("16").removesuffix("8") + "8"])
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels not in TO_RGB or pixels.dtype != np.uint8:
        raise ImageError("image_format", f"{message.format!r} holds {channels} channels of {pixels.dtype}")
    if channels == 3 and compression and "compressed bgr" not in compression and encoding.startswith(SWAPPED_FROM):
        return pixels  # old publishers wrote red where blue belongs, as the plugin's subscriber knows
    return np.asarray(cv2.cvtColor(pixels, TO_RGB[channels]), np.uint8)


def depth_from_compressed(
    message: CompressedImage, max_pixels: int, min_m: float, max_m: float
) -> Float32[np.ndarray, "H W"]:
    """Return z-depth in metres, 0 where there is none or it is not within [min_m, max_m].

    Raises:
        DepthError: cause ``depth_format`` (unknown, damaged, cut off), ``depth_encoding``, ``depth_no_pixels``,
            ``depth_too_large`` (claimed, before anything is decoded) or ``depth_empty``.
    """
    encoding, _, compression = (part.strip() for part in message.format.partition(";"))
    if encoding not in ("16UC1", "32FC1"):
        raise DepthError("depth_encoding", f"depth format {message.format!r} begins with neither 16UC1 nor 32FC1")
    kind = compression.removeprefix("compressedDepth").strip() or "png"  # old publishers do not name it
    data = bytes(message.data)
    if kind not in ("png", "rvl") or len(data) <= DEPTH_HEADER.size:
        raise DepthError("depth_format", f"depth format {message.format!r} with {len(data)} bytes cannot be decoded")
    _, a, b = DEPTH_HEADER.unpack_from(data)
    body = data[DEPTH_HEADER.size :]
    raw = _run_lengths(body, max_pixels) if kind == "rvl" else _decoded(body, max_pixels, DepthError)
    if raw.dtype != np.uint16 or raw.ndim != 2:
        raise DepthError("depth_format", f"depth format {message.format!r} holds {raw.dtype} of {raw.ndim} dimensions")
    return measured(metres(raw) if encoding == "16UC1" else _dequantised(raw, a, b), min_m, max_m)


def compressed_from_rgb(
    rgb: UInt8[np.ndarray, "H W 3"], frame_id: str, stamp_ns: int, quality: int = 90
) -> CompressedImage:
    """Return a JPEG as `compressed_image_transport` makes it of an rgb8 image."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _message("rgb8; jpeg compressed bgr8", data.tobytes(), frame_id, stamp_ns)


def compressed_from_depth(depth_m: Float32[np.ndarray, "H W"], frame_id: str, stamp_ns: int) -> CompressedImage:
    """Return a PNG of millimetres as `compressed_depth_image_transport` makes it of a 16UC1 image."""
    _, data = cv2.imencode(".png", millimetres_of(depth_m), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return _message("16UC1; compressedDepth png", DEPTH_HEADER.pack(0, 0.0, 0.0) + data.tobytes(), frame_id, stamp_ns)


def _message(kind: str, data: bytes, frame_id: str, stamp_ns: int) -> CompressedImage:
    message = CompressedImage(format=kind, data=data)
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return message


def _decoded(
    data: bytes, max_pixels: int, error: type[InputError]
) -> UInt8[np.ndarray, "H W *C"] | UInt16[np.ndarray, "H W *C"]:
    """Return a JPEG's or PNG's pixels as OpenCV orders them (blue first), never turned by what EXIF says."""
    cause = "depth_format" if error is DepthError else "image_format"
    try:
        claim = claim_of(data)
    except ValueError as reason:
        raise error(cause, str(reason)) from reason
    check_size(claim.width, claim.height, max_pixels, error)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as reason:
        raise error(
            cause, f"the {claim.kind} of {claim.width} x {claim.height} cannot be decoded: {reason}"
        ) from reason
    if pixels is None or pixels.shape[:2] != (claim.height, claim.width):
        raise error(cause, f"the {claim.kind} of {claim.width} x {claim.height} cannot be decoded: it is damaged")
    return np.asarray(pixels)


def _run_lengths(body: bytes, max_pixels: int) -> UInt16[np.ndarray, "H W"]:
    if len(body) < RVL_SIZE.size:
        raise DepthError("depth_format", f"{len(body)} bytes of RVL hold no size")
    width, height = RVL_SIZE.unpack_from(body)
    check_size(width, height, max_pixels, DepthError)
    try:
        return rvl.decode(body[RVL_SIZE.size :], width * height).reshape(height, width)
    except ValueError as reason:
        raise DepthError("depth_format", f"{reason}: damaged or cut off") from reason


def _dequantised(raw: UInt16[np.ndarray, "H W"], a: float, b: float) -> Float32[np.ndarray, "H W"]:
    """Return the metres of inverse depth as codec.cpp of the plugin quantises it: a / (code - b); code 0: none."""
    if not (np.isfinite(a) and np.isfinite(b)) or a <= 0:
        raise DepthError("depth_format", f"the quantisation parameters {a}, {b} of compressed depth are none")
    with np.errstate(divide="ignore"):
        depth = np.float32(a) / (raw.astype(np.float32) - np.float32(b))
    depth[raw == 0] = 0
    return depth
