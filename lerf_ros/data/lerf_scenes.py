# SPDX-License-Identifier: Apache-2.0
"""Reader of LERF's dataset: captures in nerfstudio's layout, and boxes drawn on rendered novel views.

As published, a scene is two folders: `LERF Datasets/<scene>` with `transforms.json` and `images/`, and
`Localization eval dataset/<scene>` with `keyframes.json`, a camera path of nerfstudio's viewer, and one `<i>_rgb.json`
for keyframe i, with rectangles drawn in labelme (on images of a quarter of the path's render size). Both may also lie
in one folder.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.data.camera_path import Normalisation, PathCamera, normalisation, read_camera_path
from lerf_ros.data.documents import image_size, read_object
from lerf_ros.data.labels import LabelledScene, LabelledView, box, pairs, phrase
from lerf_ros.data.layouts import CAPTURE, label_folders
from lerf_ros.data.transforms_json import read_capture
from lerf_ros.errors import DatasetError

KEYFRAMES = "keyframes.json"
LABELS = "*_rgb.json"
ASPECT_TOLERANCE = 0.01


def read_lerf_scene(folder: Path, scene: Path) -> LabelledScene | None:
    """Return a scene whose novel views are labelled as in LERF's dataset; None where there are no such labels.

    Args:
        folder: the dataset, out of which nothing may lead.
        scene: the folder of the scene's capture, in it.

    Raises:
        DatasetError: the capture, the camera path or a label is unusable, or a label has no keyframe.
    """
    home = next((p for p in label_folders(folder, scene) if (p / KEYFRAMES).is_file() or any(p.glob(LABELS))), None)
    if home is None:
        return None
    if not (home / KEYFRAMES).is_file():
        raise DatasetError(f"{home} has labels ({LABELS}) but no {KEYFRAMES} with the poses of their views")
    frames = read_capture(scene / CAPTURE)
    cameras = read_camera_path(home / KEYFRAMES)
    turned = normalisation(scene / CAPTURE, frames)
    labels = sorted(home.glob(LABELS), key=_index)
    if not labels:
        raise DatasetError(f"{home} has {KEYFRAMES} but no labels: expected 0_rgb.json and so on, by keyframe")
    views = tuple(_view(path, cameras, turned) for path in labels)
    return LabelledScene(scene.resolve().name, frames, views)


def _index(path: Path) -> int:
    match = re.fullmatch(r"(\d{1,9})_rgb\.json", path.name)
    if match is None:
        raise DatasetError(f"{path}: a label is named after its keyframe, as 0_rgb.json")
    return int(match.group(1))


def _view(path: Path, cameras: tuple[PathCamera, ...], turned: Normalisation) -> LabelledView:
    """Read one label file."""
    index = _index(path)
    if index >= len(cameras):
        raise DatasetError(f"{path} has no keyframe: {KEYFRAMES} ends with keyframe {len(cameras) - 1}")
    camera, document = cameras[index], read_object(path)
    size = image_size(str(path), document.get("imageWidth"), document.get("imageHeight"), "imageWidth and imageHeight")
    intrinsics = _resized(path, camera.intrinsics, size)
    shapes = document.get("shapes")
    if not isinstance(shapes, list) or not shapes:
        raise DatasetError(f"{path} labels nothing: 'shapes' must be a list of labelme's rectangles")
    boxes: dict[str, list[Float64[np.ndarray, " 4"]]] = {}
    for k, shape in enumerate(shapes):
        label, corners = _rectangle(f"{path}: shape {k}", shape, size)
        boxes.setdefault(label, []).append(corners)
    T_world_cam = turned.pose(camera.T_path_gl)
    if not np.isfinite(T_world_cam).all():
        raise DatasetError(f"{path}: by nerfstudio's scale, keyframe {index} of {KEYFRAMES} is at no finite place")
    return LabelledView(
        path.stem, intrinsics, T_world_cam,
        {label: np.stack(each) for label, each in boxes.items()}, {},
    )  # fmt: skip


def _rectangle(where: str, shape: Any, size: tuple[int, int]) -> tuple[str, Float64[np.ndarray, " 4"]]:
    if not isinstance(shape, dict):
        raise DatasetError(f"{where} is not an object")
    label = phrase(where, shape.get("label"), "label")
    where = f"{where} ({label!r})"
    if shape.get("shape_type", "rectangle") != "rectangle":
        raise DatasetError(f"{where}: shape_type must be 'rectangle', not {shape['shape_type']!r}")
    corners = pairs(where, shape.get("points"), 2, "points")
    if len(corners) != 2:
        raise DatasetError(f"{where}: a rectangle has two points, not {len(corners)}")
    return label, box(where, corners, size)


def _resized(path: Path, intrinsics: Intrinsics, size: tuple[int, int]) -> Intrinsics:
    """Return the intrinsics of the image that was labelled: the rendered one, resized."""
    if abs(size[0] / size[1] * intrinsics.height / intrinsics.width - 1) > ASPECT_TOLERANCE:
        raise DatasetError(f"{path}: an image of {size[0]} x {size[1]} is no resized render of "
                           f"{intrinsics.width} x {intrinsics.height}, the size that {KEYFRAMES} says")  # fmt: skip
    return intrinsics.scaled(*size)
