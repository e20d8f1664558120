# SPDX-License-Identifier: Apache-2.0
"""Point clouds as messages, both ways. Imports nothing heavy: clients use it too."""

from array import array

import numpy as np
from jaxtyping import Float32, UInt8
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

CLOUD_FIELDS = [
    PointField(name=name, offset=4 * k, datatype=PointField.FLOAT32, count=1)
    for k, name in enumerate(("x", "y", "z", "rgb", "relevancy", "scale"))
]
"""A cloud has the first four, five or all of them."""


def cloud_message(
    header: Header,
    points: Float32[np.ndarray, "N 3"],
    colours: UInt8[np.ndarray, "N 3"],
    relevancy: Float32[np.ndarray, " N"] | None = None,
    scale_m: Float32[np.ndarray, " N"] | None = None,
) -> PointCloud2:
    """Return points (m) with colour and, where given, relevancy, and with it scale (m): float32 each, nothing between.

    Colour is packed as PCL does: a float32 whose bytes are 0 r g b.
    """
    wide = colours.astype(np.uint32)
    packed = (wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2]).view(np.float32)
    columns = [*points.T, packed, *(c for c in (relevancy, scale_m) if c is not None)]
    rows = np.empty((len(points), len(columns)), "<f4")
    for k, column in enumerate(columns):
        rows[:, k] = column
    return PointCloud2(
        header=header,
        height=1,
        width=len(rows),
        fields=CLOUD_FIELDS[: len(columns)],
        is_bigendian=False,
        point_step=4 * len(columns),
        row_step=rows.nbytes,
        is_dense=True,
        data=array("B", rows.tobytes()),  # of bytes rosidl looks at each one
    )


def cloud_fields(cloud: PointCloud2) -> dict[str, Float32[np.ndarray, " N"]]:
    """Return the values of a cloud of float32 fields by name, colours still packed."""
    kind = np.dtype({
        "names": [f.name for f in cloud.fields], "formats": ["<f4"] * len(cloud.fields),
        "offsets": [f.offset for f in cloud.fields], "itemsize": cloud.point_step,
    })  # fmt: skip
    rows = np.frombuffer(cloud.data, kind, count=cloud.width * cloud.height)
    return {name: rows[name].copy() for name in kind.names or ()}


def cloud_arrays(
    cloud: PointCloud2,
) -> tuple[Float32[np.ndarray, "N 3"], UInt8[np.ndarray, "N 3"], Float32[np.ndarray, " N"]]:
    """Return points, colours and relevancy of a cloud made by `cloud_message` (relevancy 0 where it has none)."""
    if not cloud.fields:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32)
    fields = cloud_fields(cloud)
    points = np.stack([fields[axis] for axis in "xyz"], axis=1)
    packed = fields["rgb"].view(np.uint32)
    colours = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)
    return points, colours, fields.get("relevancy", np.zeros(len(points), np.float32))
