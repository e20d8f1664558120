# SPDX-License-Identifier: Apache-2.0
"""Point clouds as binary PLY, with any scalar a point: what MeshLab, CloudCompare and Open3D open."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

_TYPES = {"f4": "float", "f8": "double", "i4": "int", "u4": "uint", "u1": "uchar", "i2": "short", "u2": "ushort"}


def write_ply(
    path: Path,
    points: Float32[np.ndarray, "N 3"],
    colours: UInt8[np.ndarray, "N 3"],
    **scalars: Shaped[np.ndarray, " N"],
) -> None:
    """Write points (metres), RGB colours and named scalars, little endian.

    Raises:
        ValueError: a scalar has a type PLY does not know (int64, float16, bool).
        OSError: the file cannot be written.
    """
    fields = [(name, "<f4") for name in ("x", "y", "z")] + [(name, "u1") for name in ("red", "green", "blue")]
    for name, values in scalars.items():
        kind = values.dtype.str[1:]
        if kind not in _TYPES:
            raise ValueError(f"PLY has no type for scalar {name!r} of dtype {values.dtype}")
        fields.append((name, "<" + kind))
    table = np.empty(len(points), np.dtype(fields))
    for axis, name in enumerate("xyz"):
        table[name] = points[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        table[name] = colours[:, channel]
    for name, values in scalars.items():
        table[name] = values
    header = ["ply", "format binary_little_endian 1.0", "comment lerf_ros", f"element vertex {len(points)}"]
    header += [f"property {_TYPES[np.dtype(kind).str[1:]]} {name}" for name, kind in fields]
    with path.open("wb") as file:
        file.write(("\n".join([*header, "end_header"]) + "\n").encode("ascii"))
        file.write(table.tobytes())
