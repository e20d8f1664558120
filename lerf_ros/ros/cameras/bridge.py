# SPDX-License-Identifier: Apache-2.0
"""cv_bridge where it is installed (and works with the NumPy that is), our own conversion where not."""

import importlib
import logging
from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import UInt8
from sensor_msgs.msg import Image

from lerf_ros.errors import ImageError

BRIDGED = frozenset(
    name + bits for name in ("bgr", "rgba", "bgra", "mono", "bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")
    for bits in ("8", "16")
) | {"rgb16", "yuv422", "yuv422_yuy2"}  # fmt: skip
"""What cv_bridge converts to rgb8. It does not know nv12 and nv21; rgb8 is only copied."""

Convert = Callable[[Image], UInt8[np.ndarray, "H W 3"]]

_log = logging.getLogger(__name__)


@cache
def bridge() -> Convert | None:
    """Return cv_bridge's conversion to RGB of a message whose size was checked; None where it cannot be used.

    That of a ROS distribution is compiled for one version of NumPy and may fail with another; it is tried out here.
    """
    try:
        convert: Convert = _converter(importlib.import_module("cv_bridge").CvBridge())
        grey = Image(height=2, width=2, encoding="mono8", step=2, data=b"\x01\x02\x03\x04")
        if convert(grey).tolist() != [[[1] * 3, [2] * 3], [[3] * 3, [4] * 3]]:
            raise ImageError("image_encoding", "cv_bridge gave other pixels than it was given")
    except ModuleNotFoundError:
        return None
    except Exception as error:
        _log.info("cv_bridge is installed but cannot be used (%s: %s)", type(error).__name__, error)
        return None
    return convert


def _converter(bridge: object) -> Convert:
    def convert(message: Image) -> UInt8[np.ndarray, "H W 3"]:
        try:
            rgb = bridge.imgmsg_to_cv2(message, "rgb8")  # type: ignore[attr-defined]
        except Exception as error:
            raise ImageError("image_encoding", f"cv_bridge cannot convert {message.encoding}: {error}") from error
        return np.ascontiguousarray(rgb, np.uint8)

    return convert
