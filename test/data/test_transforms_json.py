# SPDX-License-Identifier: Apache-2.0
"""The capture reader on captures written by the test, good and bad."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lerf_ros.core.geometry import invert
from lerf_ros.data.bounds import capture_workspace
from lerf_ros.data.transforms_json import read_capture
from lerf_ros.errors import DatasetError

Document = dict[str, Any]

HUGE = 10**400
"""A number in JSON, and none that a float can hold."""


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    rgb = np.zeros((6, 8, 3), np.uint8)
    rgb[..., 0] = 200  # red
    frames = []
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rgb[..., ::-1])
        cv2.imwrite(str(tmp_path / f"{i}_depth.png"), np.full((6, 8), 1500 + i, np.uint16))
        matrix = np.eye(4)
        matrix[0, 3] = 0.1 * i
        frames.append({"file_path": f"{i}.png", "depth_file_path": f"{i}_depth.png", "timestamp": 0.5 * i,
                       "transform_matrix": matrix.tolist()})  # fmt: skip
    document = {"camera_model": "OPENCV", "fl_x": 5.0, "fl_y": 5.0, "cx": 3.5, "cy": 2.5, "w": 8, "h": 6,
                "depth_unit_scale_factor": 0.001, "frames": frames}  # fmt: skip
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    return tmp_path


def test_colours_depth_stamps_and_axes(capture: Path) -> None:
    frames = read_capture(capture)
    image = frames[1].load()
    assert image.rgb[0, 0].tolist() == [200, 0, 0]
    assert image.depth_m is not None
    assert image.depth_m[0, 0] == pytest.approx(1.501)
    assert image.stamp_ns == 500_000_000
    # OpenGL looks along -z: a point 2 m ahead lies at z = -2 in the world, shifted by the camera's 0.1 m.
    point_cam = invert(image.T_world_cam) @ [0.1, 0.0, -2.0, 1.0]
    np.testing.assert_allclose(point_cam, [0, 0, 2, 1], atol=1e-12)
    assert frames[1].load(use_depth=False).depth_m is None


def test_the_largest_depth_value_means_none(capture: Path) -> None:
    depth = np.full((6, 8), 1500, np.uint16)
    depth[0, 0], depth[0, 1] = 65535, 0
    cv2.imwrite(str(capture / "0_depth.png"), depth)
    image = read_capture(capture)[0].load()
    assert image.depth_m is not None
    assert image.depth_m[0, :3].tolist() == pytest.approx([0, 0, 1.5])


def test_workspace_is_around_what_was_measured(capture: Path) -> None:
    box = capture_workspace([frame.load() for frame in read_capture(capture)])
    assert box.min_m[2] < -1.5 < box.max_m[2] < 0


def _broken_json(folder: Path, _: Document) -> None:
    (folder / "transforms.json").write_text('{"frames": [')


def _write(change: Callable[[Document], object]) -> Callable[[Path, Document], None]:
    def apply(folder: Path, document: Document) -> None:
        change(document)
        (folder / "transforms.json").write_text(json.dumps(document))

    return apply


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_broken_json, "not JSON"),
        (lambda folder, _: (folder / "transforms.json").unlink(), "cannot read"),
        (lambda folder, _: (folder / "1.png").unlink(), "frame 1.*'1.png' does not exist"),
        (_write(lambda d: d.pop("frames")), "no list 'frames'"),
        (_write(lambda d: d.update(frames=[])), "no list 'frames'"),
        (_write(lambda d: d["frames"].__setitem__(0, 7)), "frame 0 is not an object"),
        (_write(lambda d: d.pop("fl_x")), "fl_x must be a number"),
        (_write(lambda d: d.update(w=0)), "no pixels"),
        (_write(lambda d: d.update(camera_model="FISHEYE")), "not supported"),
        (_write(lambda d: d["frames"][2].pop("transform_matrix")), "frame 2"),
        (_write(lambda d: d["frames"][2]["transform_matrix"][0].__setitem__(0, 2.0)), "frame 2.*not a rigid"),
        (_write(lambda d: d["frames"][2]["transform_matrix"][0].__setitem__(3, float("nan"))), "NaN"),
        (_write(lambda d: d["frames"][0].update(file_path="../../etc/hostname")), "leads out of"),
        (_write(lambda d: d["frames"][0].update(timestamp="soon")), "timestamp must be a number"),
        (_write(lambda d: d["frames"][0].update(timestamp=1e300)), "timestamp must be in seconds"),
        (_write(lambda d: d.update(fl_x=HUGE)), "frame 0.*fl_x must be a number"),
        (_write(lambda d: d["frames"][2]["transform_matrix"][0].__setitem__(3, HUGE)), "frame 2.*too large"),
        (_write(lambda d: d["frames"][0].update(file_path="a\0b")), "frame 0: file_path .* cannot be a file"),
        (_write(lambda d: d["frames"][0].update(file_path=5000 * "a")), "frame 0: file_path .* cannot be a file"),
        (lambda folder, _: (folder / "transforms.json").write_text("[" * 100_000), "more than 64 lists or objects"),
        (lambda folder, _: (folder / "transforms.json").write_text("[]"), "holds a JSON list, not an object"),
    ],
)
def test_what_is_wrong_is_named(capture: Path, spoil: Callable[[Path, Document], None], says: str) -> None:
    spoil(capture, json.loads((capture / "transforms.json").read_text()))
    with pytest.raises(DatasetError, match=says):
        read_capture(capture)


def test_an_image_that_is_none_or_of_another_size_is_named(capture: Path) -> None:
    frames = read_capture(capture)
    (capture / "0.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"0\.png is missing or not an image"):
        frames[0].load()
    cv2.imwrite(str(capture / "1.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DatasetError, match="4 x 4"):
        frames[1].load()


def test_no_image_is_made_of_a_size_that_is_only_claimed(capture: Path) -> None:
    document = json.loads((capture / "transforms.json").read_text())
    (capture / "transforms.json").write_text(json.dumps({**document, "w": 10**9, "h": 10**9, "k1": 0.1}))
    with pytest.raises(DatasetError, match=r"0\.png: image is 8 x 6 but its intrinsics are for 1000000000"):
        read_capture(capture)[0].load()
