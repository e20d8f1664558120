# SPDX-License-Identifier: Apache-2.0
"""Point clouds of answers, both ways. Imports nothing heavy: clients use it too."""

from array import array

import numpy as np
from jaxtyping import Float32, UInt8
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

CLOUD_DTYPE = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("relevancy", "<f4")])
CLOUD_FIELDS = [
    PointField(name=name, offset=int(CLOUD_DTYPE.fields[name][1]), datatype=PointField.FLOAT32, count=1)
    for name in CLOUD_DTYPE.names or ()
    if CLOUD_DTYPE.fields is not None
]


def cloud_message(
    header: Header,
    points: Float32[np.ndarray, "N 3"],
    colours: UInt8[np.ndarray, "N 3"],
    relevancy: Float32[np.ndarray, " N"],
) -> PointCloud2:
    """Return points with colour (packed as PCL does: a float32 whose bytes are 0 r g b) and relevancy."""
    rows = np.empty(len(points), CLOUD_DTYPE)
    rows["x"], rows["y"], rows["z"] = points[:, 0], points[:, 1], points[:, 2]
    wide = colours.astype(np.uint32)
    rows["rgb"] = wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2]
    rows["relevancy"] = relevancy
    return PointCloud2(
        header=header,
        height=1,
        width=len(rows),
        fields=CLOUD_FIELDS,
        is_bigendian=False,
        point_step=CLOUD_DTYPE.itemsize,
        row_step=CLOUD_DTYPE.itemsize * len(rows),
        is_dense=True,
        data=array("B", rows.tobytes()),  # of bytes rosidl looks at each one
    )


def cloud_arrays(
    cloud: PointCloud2,
) -> tuple[Float32[np.ndarray, "N 3"], UInt8[np.ndarray, "N 3"], Float32[np.ndarray, " N"]]:
    """Return points, colours and relevancy of a cloud made by `cloud_message`."""
    rows = np.frombuffer(cloud.data, CLOUD_DTYPE, count=cloud.width * cloud.height)
    points = np.stack([rows["x"], rows["y"], rows["z"]], axis=1)
    colours = np.stack([rows["rgb"] >> 16 & 255, rows["rgb"] >> 8 & 255, rows["rgb"] & 255], axis=1).astype(np.uint8)
    return points, colours, rows["relevancy"].copy()
