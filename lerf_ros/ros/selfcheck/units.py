# SPDX-License-Identifier: Apache-2.0
"""Depth in a unit that its encoding does not mean (REP 118: 16UC1 is millimetres, 32FC1 metres)."""

import numpy as np
from sensor_msgs.msg import Image

from lerf_ros.ros.cameras.frame import Picture

STRIDE = 97  # a prime: not always the same columns
TINY = 30
"""Nobody measures 3 cm: numbers of a 16-bit image as small as this are metres (or decimetres)."""

HUGE = 100.0
"""No depth camera reaches 100 m: floats as large as this are millimetres."""


def depth_unit(depth: Picture) -> dict[str, str | None]:
    """Return whether a raw depth message holds metres as integers or millimetres as floats: `depth_unit_encoding`."""
    if not isinstance(depth, Image) or depth.encoding not in ("16UC1", "32FC1"):
        return {}
    kind = np.dtype("u2" if depth.encoding == "16UC1" else "f4").newbyteorder(">" if depth.is_bigendian else "<")
    count = min(len(depth.data), depth.step * depth.height) // kind.itemsize
    values = np.frombuffer(depth.data, kind, count=count)[::STRIDE]
    values = values[np.isfinite(values) & (values > 0)]
    if len(values) < 10:
        return {}
    median = float(np.median(values))
    if depth.encoding == "16UC1" and float(values.max()) <= TINY:
        return {
            "depth_unit_encoding": f"16UC1 depth lies around {median:.0f}, which would be millimetres: it seems to be "
            "metres; have the driver publish millimetres, or metres as 32FC1 (REP 118)"
        }
    if depth.encoding == "32FC1" and median > HUGE:
        return {
            "depth_unit_encoding": f"32FC1 depth lies around {median:.0f}, which would be metres: it seems to be "
            "millimetres; have the driver publish metres, or millimetres as 16UC1 (REP 118)"
        }
    return {"depth_unit_encoding": None}
