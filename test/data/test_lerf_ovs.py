# SPDX-License-Identifier: Apache-2.0
"""The reader of LERF-OVS's labels on files written by hand, good and bad."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lerf_ros.data.lerf_ovs import read_ovs_scene
from lerf_ros.errors import DatasetError

Document = dict[str, Any]


def write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One scene of two images, the second of which is labelled at half its size."""
    (tmp_path / "teatime" / "images").mkdir(parents=True)
    frames = []
    for k in (1, 2):
        name = f"images/frame_0000{k}.jpg"
        cv2.imwrite(str(tmp_path / "teatime" / name), np.zeros((60, 80, 3), np.uint8))
        T = np.eye(4)
        T[0, 3] = k
        frames.append({"file_path": name, "transform_matrix": T.tolist()})
    write(tmp_path / "teatime" / "transforms.json",
          {"fl_x": 50.0, "fl_y": 50.0, "cx": 39.5, "cy": 29.5, "w": 80, "h": 60, "frames": frames})  # fmt: skip
    objects = [
        {"category": "mug", "bbox": [1, 2, 4, 5], "segmentation": [[1, 2], [4, 2], [4, 5], [1, 5]]},
        {"category": "sheep", "bbox": [10, 10, 12, 12], "segmentation": [[10, 10], [12, 10], [12, 12]]},
        {"category": "mug", "bbox": [30.9, 20, 20, 28], "segmentation": [[20, 20], [21.9, 20], [21, 21], [20, 21]]},
    ]
    info = {"name": "frame_00002.jpg", "width": 40, "height": 30}
    write(tmp_path / "label" / "teatime" / "frame_00002.json", {"info": info, "objects": objects})
    return tmp_path


def test_instances_of_a_category_are_united(dataset: Path) -> None:
    scene = read_ovs_scene(dataset, dataset / "teatime")
    assert scene is not None
    assert (scene.name, len(scene.frames)) == ("teatime", 2)
    (view,) = scene.views
    assert view.boxes["mug"].tolist() == [[1, 2, 4, 5], [20, 20, 30.9, 28]]
    mug = np.zeros((30, 40), bool)
    mug[2:6, 1:5] = True  # a polygon's edge belongs to it: 4 x 4
    mug[20:22, 20:22] = True
    np.testing.assert_array_equal(view.masks["mug"], mug)
    assert view.masks["sheep"].sum() == 6  # half of 3 x 3 and its diagonal
    k = view.intrinsics
    assert (k.width, k.height, k.fx, k.fy, k.cx, k.cy) == (40, 30, 25, 25, 19.5, 14.5)
    assert view.T_world_cam[:3, 3].tolist() == [2, 0, 0]


def test_a_scene_without_such_labels(dataset: Path) -> None:
    (dataset / "label" / "teatime" / "frame_00002.json").unlink()
    assert read_ovs_scene(dataset, dataset / "teatime") is None


def _object(**values: object) -> Callable[[Document], object]:
    return lambda d: d["objects"][0].update(values)


def _info(**values: object) -> Callable[[Document], object]:
    return lambda d: d["info"].update(values)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("info"), "no 'info'"),
        (_info(width=None), r"info\.width and info\.height must be a number"),
        (_info(width=40.5), "whole numbers of pixels"),
        (_info(width=10**400), r"info\.width and info\.height must be a number"),
        (_info(width=4 * 10**9, height=3 * 10**9), r"info\.width and info\.height must make at most 8294400 pixels"),
        (_info(width=60), r"60 x 30, but frame_00002\.jpg has 80 x 60"),
        (_info(name="frame_00001.jpg"), "the image that the file is named after"),
        (_info(name="../teatime/frame_00002.jpg"), "the image that the file is named after"),
        (_info(name=7), "the image that the file is named after"),
        (lambda d: d.update(objects=[]), "labels nothing"),
        (lambda d: d.update(objects={}), "labels nothing"),
        (lambda d: d.update(objects=[None]), "object 0 is not an object"),
        (_object(category="  "), "category must be a phrase"),
        (_object(bbox=[1, 2, 3]), r"object 0 \('mug'\): bbox must be \[x1, y1, x2, y2\]"),
        (_object(bbox=[1, 2, 3, float("nan")]), "bbox must be a number, not nan"),
        (_object(bbox=[1, 2, 50, 5]), "reaches out of the image of 40 x 30"),
        (_object(bbox=[1, 2, 1, 5]), "has no area"),
        (_object(segmentation=[[1, 2], [3, 4]]), "segmentation must be a list of at least 3 points"),
        (_object(segmentation=[[1, 2], [3, 4], 5]), "segmentation must be a list of at least 3 points"),
        (_object(segmentation=[[90, 90], [95, 90], [95, 95]]), "the polygon lies outside the image"),
        (_object(segmentation=None), "segmentation must be a list"),
    ],
)
def test_what_is_wrong_is_named(dataset: Path, change: Callable[[Document], object], says: str) -> None:
    path = dataset / "label" / "teatime" / "frame_00002.json"
    document = json.loads(path.read_text())
    change(document)
    write(path, document)
    with pytest.raises(DatasetError, match=says):
        read_ovs_scene(dataset, dataset / "teatime")


def test_a_label_without_its_image(dataset: Path) -> None:
    path = dataset / "label" / "teatime" / "frame_00002.json"
    document = json.loads(path.read_text())
    document["info"]["name"] = "frame_00041.jpg"
    write(path.with_name("frame_00041.json"), document)
    with pytest.raises(DatasetError, match=r"frame_00041\.json has no image: no frame .* is called frame_00041"):
        read_ovs_scene(dataset, dataset / "teatime")


def test_labels_of_undistorted_images_need_a_capture_without_distortion(dataset: Path) -> None:
    path = dataset / "teatime" / "transforms.json"
    document = json.loads(path.read_text())
    write(path, {**document, "k1": 0.1})
    with pytest.raises(DatasetError, match="lens distortion"):
        read_ovs_scene(dataset, dataset / "teatime")


def test_not_json(dataset: Path) -> None:
    (dataset / "label" / "teatime" / "frame_00002.json").write_text("nothing")
    with pytest.raises(DatasetError, match="is not JSON"):
        read_ovs_scene(dataset, dataset / "teatime")
