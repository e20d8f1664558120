# SPDX-License-Identifier: Apache-2.0
"""Camera paths as nerfstudio's viewers save them, brought back into the frame of the capture.

The viewer knows the scene only as nerfstudio normalises it: turned so that the mean of the cameras' up axes is z, moved
to the mean of their positions, and scaled so that no coordinate of a position exceeds 1. Poses in a saved path are in
that frame. It is undone by `dataparser_transforms.json` where a training has left one, else by computing it again.

Two generations of viewers write two layouts of `keyframes`: the first a string of 16 numbers, column by column, the
second a list, row by row. Both write `camera_path` entries row by row.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from lerf_ros.core.geometry import Intrinsics, check_transform, optical_from_opengl
from lerf_ros.data.documents import image_size, number, parse, positive, read_object
from lerf_ros.data.transforms_json import Frame
from lerf_ros.errors import DatasetError, PoseError

NORMALISATION = "dataparser_transforms.json"

MIN_FOV_DEG = 0.01
"""Below it, and as near to 180 degrees, a camera is a mistake, and its focal length no usable number."""


@dataclass(frozen=True)
class PathCamera:
    """One camera of a path.

    Attributes:
        intrinsics: of the image that nerfstudio renders.
        T_path_gl: its pose in the path's own frame, OpenGL axes.
    """

    intrinsics: Intrinsics
    T_path_gl: Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Normalisation:
    """Nerfstudio's frame: `p_path = scale (R p_capture + t)`, with `T` the rigid transform of R and t."""

    T_turned_capture: Float64[np.ndarray, "4 4"]
    scale: float

    def pose(self, T_path_gl: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
        """Return `T_world_cam` (ROS optical axes, the capture's frame and units) of a pose on the path.

        It is not finite where the pose divided by the scale is more than a float64 holds.
        """
        turned = T_path_gl.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            turned[:3, 3] /= self.scale
            return optical_from_opengl(np.linalg.inv(self.T_turned_capture) @ turned)


def read_camera_path(path: Path) -> tuple[PathCamera, ...]:
    """Return the cameras of `keyframes`, or of `camera_path` where there are none, in the order of the file.

    Raises:
        DatasetError: the file is no camera path, or a camera's pose or field of view is unusable.
    """
    document = read_object(path)
    key = "keyframes" if document.get("keyframes") else "camera_path"
    entries = document.get(key)
    if not isinstance(entries, list) or not entries:
        raise DatasetError(f"{path} has no list 'keyframes' or 'camera_path'; is it a camera path of nerfstudio?")
    if document.get("camera_type", "perspective") != "perspective":
        raise DatasetError(f"{path}: camera_type {document['camera_type']!r} is not supported (only 'perspective')")
    width, height = image_size(
        str(path), document.get("render_width"), document.get("render_height"), "render_width and render_height"
    )
    cameras = []
    for index, entry in enumerate(entries):
        where = f"{path}: {key} {index}"
        if not isinstance(entry, dict):
            raise DatasetError(f"{where} is not an object")
        focal = height / 2 / math.tan(_field_of_view(where, entry, document) / 2)
        # Nerfstudio's principal point is the middle of the image, where ours counts from the first pixel's centre.
        intrinsics = Intrinsics(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        cameras.append(PathCamera(intrinsics, _matrix(where, entry)))
    return tuple(cameras)


def _field_of_view(where: str, entry: Mapping[str, Any], document: Mapping[str, Any]) -> float:
    """Return the vertical field of view, radians."""
    value = entry.get("fov", document.get("default_fov"))
    if value is None and "properties" in entry:
        entries = _listed(where, entry["properties"], "properties")
        value = next((e[1] for e in entries if isinstance(e, list) and len(e) == 2 and e[0] == "FOV"), None)
    degrees = number(where, value, "fov (degrees)")
    if not MIN_FOV_DEG <= degrees <= 180 - MIN_FOV_DEG:
        raise DatasetError(f"{where}: fov must lie between 0 and 180 degrees ({MIN_FOV_DEG} away from both), not "
                           f"{degrees:g}")  # fmt: skip
    return math.radians(degrees)


def _matrix(where: str, entry: Mapping[str, Any]) -> Float64[np.ndarray, "4 4"]:
    """Return the camera-to-path matrix of either layout."""
    name = next((k for k in ("matrix", "camera_to_world") if k in entry), None)
    if name is None:
        raise DatasetError(f"{where} has neither 'matrix' nor 'camera_to_world'")
    raw = entry[name]
    try:
        matrix = np.array(_listed(where, raw, name), np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise DatasetError(f"{where}: {name} must be 16 numbers: {error}") from error
    if matrix.shape not in ((16,), (4, 4)):
        raise DatasetError(f"{where}: {name} must be 16 numbers or four rows of four, not shape {matrix.shape}")
    matrix = matrix.reshape(4, 4)
    by_column, by_row = (not np.abs(part[:3]).max() for part in (matrix[:, 3], matrix[3]))
    if by_column and (isinstance(raw, str) or not by_row):
        matrix = matrix.T
    try:
        return check_transform(matrix, name)
    except PoseError as error:
        raise DatasetError(f"{where}: {error}") from error


def _listed(where: str, value: object, name: str) -> list[Any]:
    """Return a list, which the first viewers wrote as JSON in a string."""
    out = parse(f"{where}: {name} is a string that", value) if isinstance(value, str) else value
    if not isinstance(out, list):
        raise DatasetError(f"{where}: {name} must be a list, not {value!r:.80}")
    return out


def normalisation(transforms: Path, frames: Sequence[Frame]) -> Normalisation:
    """Return nerfstudio's frame for a capture.

    Args:
        transforms: the capture's `transforms.json`.
        frames: all that it lists.

    Raises:
        DatasetError: it asks for an orientation other than nerfstudio's default, or the saved one is unusable.
    """
    document = read_object(transforms)
    saved = transforms.with_name(NORMALISATION)
    if saved.is_file():
        return _saved_normalisation(saved, document)
    method = document.get("orientation_override", "up")
    if method not in ("up", "none"):
        raise DatasetError(f"{transforms}: orientation_override {method!r} is not supported: put the {NORMALISATION} "
                           "of a nerfstudio training beside it")  # fmt: skip
    poses = np.stack([frame.T_world_cam for frame in frames])
    T = np.eye(4)
    if method == "up":
        up = -poses[:, :3, 1].mean(axis=0)  # optical y points down
        if not np.linalg.norm(up) > 1e-6:
            raise DatasetError(f"{transforms}: the cameras have no common up direction")
        T[:3, :3] = _turn_to_z(up / np.linalg.norm(up))
    T[:3, 3] = -T[:3, :3] @ poses[:, :3, 3].mean(axis=0)
    largest = float(np.abs(poses[:, :3, 3] @ T[:3, :3].T + T[:3, 3]).max())
    if largest == 0:
        raise DatasetError(f"{transforms}: all cameras are in one place")
    if not math.isfinite(largest):
        raise DatasetError(f"{transforms}: the cameras are further apart than numbers go")
    return Normalisation(T, 1 / largest)


def _saved_normalisation(path: Path, transforms: Mapping[str, Any]) -> Normalisation:
    """Read what nerfstudio wrote; it counts from the poses as they were before `applied_transform`."""
    document = read_object(path)
    parts = (document.get("transform"), transforms.get("applied_transform", np.eye(4)[:3].tolist()))
    scale = positive(str(path), document.get("scale"), "scale")
    scale /= positive(str(path), transforms.get("applied_scale", 1.0), "the capture's applied_scale")
    if not (math.isfinite(scale) and scale > 0):
        raise DatasetError(f"{path}: scale / applied_scale is {scale:g}: both must be ordinary numbers above 0")
    try:
        saved, applied = (np.vstack([np.array(part, np.float64), np.eye(4)[3]]) for part in parts)
        T = check_transform(saved @ np.linalg.inv(applied), "transform")
    except (PoseError, OverflowError, TypeError, ValueError, np.linalg.LinAlgError) as error:
        raise DatasetError(f"{path}: 'transform' must be a rigid 3 x 4 matrix: {error}") from error
    return Normalisation(T, scale)


def _turn_to_z(up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "3 3"]:
    """Return the smallest rotation that turns a unit vector to +z (Rodrigues)."""
    x, y, z = up
    skew = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])  # of up x z
    if 1 + z < 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    return np.asarray(np.eye(3) + skew + skew @ skew / (1 + z))
