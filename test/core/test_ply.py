# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from lerf_ros.core.ply import write_ply


def test_every_byte_by_hand(tmp_path: Path) -> None:
    points = np.array([[1, 2, 3], [-0.5, 0, 0.25]], np.float32)
    colours = np.array([[255, 0, 7], [1, 2, 3]], np.uint8)
    scalars = {"relevancy": np.array([0.5, 1], np.float32), "views": np.array([3, 4], np.int32)}
    write_ply(tmp_path / "a.ply", points, colours, **scalars)
    header, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n")
    assert header.decode().splitlines() == [
        "ply", "format binary_little_endian 1.0", "comment lerf_ros", "element vertex 2",
        "property float x", "property float y", "property float z",
        "property uchar red", "property uchar green", "property uchar blue",
        "property float relevancy", "property int views",
    ]  # fmt: skip
    row = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3), ("relevancy", "<f4"), ("views", "<i4")])
    table = np.frombuffer(body, row)
    np.testing.assert_array_equal(table["xyz"], points)
    np.testing.assert_array_equal(table["rgb"], colours)
    assert table["relevancy"].tolist() == [0.5, 1.0]
    assert table["views"].tolist() == [3, 4]


def test_types_that_ply_does_not_know_are_refused(tmp_path: Path) -> None:
    points, colours = np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8)
    with pytest.raises(ValueError, match="'stamp'"):
        write_ply(tmp_path / "a.ply", points, colours, stamp=np.zeros(1, np.int64))
