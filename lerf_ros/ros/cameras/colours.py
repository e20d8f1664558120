# SPDX-License-Identifier: Apache-2.0
"""Pixels of sensor_msgs' colour encodings (image_encodings.hpp) to red, green, blue. Knows no ROS types.

16-bit samples fill their range: 65535 is as bright as 255 of an 8-bit image, as cv_bridge has it. YUV is ITU-R BT.601
with Y from 16 to 235, as cameras send it. Bayer mosaics are interpolated linearly.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

FULL_RANGE_16 = 1.0 / 257.0  # 65535 / 257 = 255


@dataclass(frozen=True)
class Layout:
    """How an encoding lies in memory, and what OpenCV calls its conversion.

    Attributes:
        code: of cv2.cvtColor to RGB; None: it is RGB.
        channels: samples of a pixel in a row.
        sample_bytes: 1 or 2.
        even: width (and, of planes, height) must be: chroma is shared by neighbours.
        planar: half as many rows of chroma follow the rows of luma.
    """

    code: int | None
    channels: int
    sample_bytes: int = 1
    even: bool = False
    planar: bool = False

    def rows(self, height: int) -> int:
        """Return how many rows an image of this height has in memory."""
        return height * 3 // 2 if self.planar else height


def _layouts() -> dict[str, Layout]:
    out = {}
    for name, code, channels in (
        ("rgb", None, 3),
        ("bgr", cv2.COLOR_BGR2RGB, 3),
        ("rgba", cv2.COLOR_RGBA2RGB, 4),
        ("bgra", cv2.COLOR_BGRA2RGB, 4),
        ("mono", cv2.COLOR_GRAY2RGB, 1),
        ("bayer_rggb", cv2.COLOR_BayerRGGB2RGB, 1),
        ("bayer_bggr", cv2.COLOR_BayerBGGR2RGB, 1),
        ("bayer_gbrg", cv2.COLOR_BayerGBRG2RGB, 1),
        ("bayer_grbg", cv2.COLOR_BayerGRBG2RGB, 1),
    ):
        out[f"{name}8"] = Layout(code, channels)
        out[f"{name}16"] = Layout(code, channels, sample_bytes=2)
    uyvy, yuyv = (Layout(code, 2, even=True) for code in (cv2.COLOR_YUV2RGB_UYVY, cv2.COLOR_YUV2RGB_YUYV))
    nv12, nv21 = (Layout(code, 1, even=True, planar=True) for code in (cv2.COLOR_YUV2RGB_NV12, cv2.COLOR_YUV2RGB_NV21))
    return out | {
        "yuv422": uyvy, "uyvy": uyvy, "yuv422_yuy2": yuyv, "yuyv": yuyv, "nv12": nv12, "nv21": nv21,
    }  # fmt: skip


COLOUR_ENCODINGS = _layouts()


def to_rgb(rows: UInt8[np.ndarray, "R row"], layout: Layout, bigendian: bool = False) -> UInt8[np.ndarray, "H W 3"]:
    """Return an image's colours in an array of its own.

    Args:
        rows: bytes of its rows, without padding; may be a view with strides.
        layout: of its encoding.
        bigendian: of 16-bit samples.
    """
    samples = eight_bits(rows, bigendian) if layout.sample_bytes == 2 else rows
    pixels = samples.reshape(len(samples), -1, layout.channels)
    if layout.code is None:
        return np.array(pixels)
    return np.asarray(cv2.cvtColor(pixels[..., 0] if layout.channels == 1 else pixels, layout.code), np.uint8)


def eight_bits(rows: UInt8[np.ndarray, "R row"], bigendian: bool) -> UInt8[np.ndarray, "R half"]:
    """Return the samples of rows of 16-bit ones, rounded."""
    samples = np.ascontiguousarray(rows).view(">u2" if bigendian else "<u2").astype(np.uint16, copy=False)
    return np.asarray(cv2.convertScaleAbs(samples, alpha=FULL_RANGE_16), np.uint8)
