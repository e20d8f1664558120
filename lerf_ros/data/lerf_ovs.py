# SPDX-License-Identifier: Apache-2.0
"""Reader of LERF-OVS, LangSplat's labels of four LERF scenes: masks and boxes in images of the capture itself.

As published, `label/<scene>/frame_00041.json` labels the image of that name:
`{info: {width, height, name}, objects: [{category, bbox [x1, y1, x2, y2], segmentation [[x, y], ...]}]}`. Several
objects of one category are instances of one phrase. The scenes come with COLMAP's poses; here they are read from a
`transforms.json` made of them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from lerf_ros.data.documents import image_size, read_object
from lerf_ros.data.labels import LabelledScene, LabelledView, box, pairs, phrase
from lerf_ros.data.layouts import CAPTURE, label_folders
from lerf_ros.data.transforms_json import Frame, read_capture
from lerf_ros.errors import DatasetError

LABELS = "frame_*.json"
ASPECT_TOLERANCE = 0.01


def read_ovs_scene(folder: Path, scene: Path) -> LabelledScene | None:
    """Return a scene whose images are labelled as in LERF-OVS; None where there are no such labels.

    Args:
        folder: the dataset, out of which nothing may lead.
        scene: the folder of the scene's capture, in it.

    Raises:
        DatasetError: the capture or a label is unusable, or a label has no image in the capture.
    """
    home = next((p for p in label_folders(folder, scene) if any(p.glob(LABELS))), None)
    if home is None:
        return None
    frames = read_capture(scene / CAPTURE)
    views = tuple(_view(path, frames) for path in sorted(home.glob(LABELS)))
    return LabelledScene(scene.resolve().name, frames, views)


def _view(path: Path, frames: Sequence[Frame]) -> LabelledView:
    """Read one label file."""
    document = read_object(path)
    info, objects = document.get("info"), document.get("objects")
    if not isinstance(info, dict):
        raise DatasetError(f"{path} has no 'info' with name, width and height")
    size = image_size(str(path), info.get("width"), info.get("height"), "info.width and info.height")
    frame = _frame(path, info.get("name"), frames, size)
    if not isinstance(objects, list) or not objects:
        raise DatasetError(f"{path} labels nothing: 'objects' must be a list of objects")
    boxes: dict[str, list[Float64[np.ndarray, " 4"]]] = {}
    masks: dict[str, Bool[np.ndarray, "H W"]] = {}
    for k, entry in enumerate(objects):
        label, corners, mask = _object(f"{path}: object {k}", entry, size)
        boxes.setdefault(label, []).append(corners)
        masks[label] = masks[label] | mask if label in masks else mask
    return LabelledView(
        path.stem, frame.intrinsics.scaled(*size), frame.T_world_cam,
        {label: np.stack(each) for label, each in boxes.items()}, masks,
    )  # fmt: skip


def _frame(path: Path, name: object, frames: Sequence[Frame], size: tuple[int, int]) -> Frame:
    """Return the frame of the capture that was labelled."""
    if not isinstance(name, str) or Path(name).name != name or Path(name).stem != path.stem:
        raise DatasetError(f"{path}: info.name must be the image that the file is named after, not {name!r}")
    frame = next((frame for frame in frames if frame.image_path.stem == path.stem), None)
    if frame is None:
        raise DatasetError(f"{path} has no image: no frame of the capture's {CAPTURE} is called {path.stem}")
    if any(frame.distortion):
        raise DatasetError(f"{path}: labels are drawn on undistorted images, but {frame.image_path.name} is said to "
                           "have lens distortion")  # fmt: skip
    width, height = frame.intrinsics.width, frame.intrinsics.height
    if abs(size[0] / size[1] * height / width - 1) > ASPECT_TOLERANCE:
        raise DatasetError(f"{path}: labels of an image of {size[0]} x {size[1]}, but {frame.image_path.name} has "
                           f"{width} x {height} pixels")  # fmt: skip
    return frame


def _object(
    where: str, entry: Any, size: tuple[int, int]
) -> tuple[str, Float64[np.ndarray, " 4"], Bool[np.ndarray, "H W"]]:
    """Return the phrase, box and mask of one object."""
    if not isinstance(entry, dict):
        raise DatasetError(f"{where} is not an object")
    label = phrase(where, entry.get("category"), "category")
    where = f"{where} ({label!r})"
    flat = entry.get("bbox")
    if not isinstance(flat, list) or len(flat) != 4:
        raise DatasetError(f"{where}: bbox must be [x1, y1, x2, y2], not {flat!r:.80}")
    corners = box(where, pairs(where, [flat[:2], flat[2:]], 2, "bbox"), size)
    points = pairs(where, entry.get("segmentation"), 3, "segmentation")
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [points.clip(-1e4, 1e5).astype(np.int32)], 1)
    if not mask.any():
        raise DatasetError(f"{where}: the polygon lies outside the image of {size[0]} x {size[1]} pixels")
    return label, corners, mask.astype(bool)
