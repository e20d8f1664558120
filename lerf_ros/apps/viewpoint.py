# SPDX-License-Identifier: Apache-2.0
"""Where to render a saved map from: a keyframe of it, a pose in words or in a file, or the keyframe that shows most."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float64

from lerf_ros.core.field_view import FieldView
from lerf_ros.core.geometry import Intrinsics, check_transform, invert, pose_matrix, transform_points
from lerf_ros.core.surface import SurfaceMap
from lerf_ros.data.documents import MAX_PIXELS, image_size, number, read_object
from lerf_ros.errors import DatasetError, IntrinsicsError, PoseError

POSE_FORM = "x,y,z,qx,qy,qz,qw (metres and a quaternion, camera to world, ROS optical axes: z looks ahead)"
FILE_FORM = '{"T_world_cam": [4 rows of 4], "intrinsics": {"width", "height", "fx", "fy", "cx", "cy"}}'


@dataclass(frozen=True)
class Viewpoint:
    """A camera to render from, and what to call it."""

    name: str
    intrinsics: Intrinsics
    T_world_cam: Float64[np.ndarray, "4 4"]

    def resized(self, width: int) -> "Viewpoint":
        """Return the same camera with images of that width.

        Raises:
            IntrinsicsError: they would have more than `MAX_PIXELS` pixels.
        """
        height = max(round(self.intrinsics.height * width / self.intrinsics.width), 1)
        if width * height > MAX_PIXELS:
            raise IntrinsicsError("image_size", f"{self.name}: an image of {width} x {height}, in proportion to "
                                  f"{self.intrinsics.width} x {self.intrinsics.height}, has more than {MAX_PIXELS} "
                                  "pixels: choose a smaller width")  # fmt: skip
        return Viewpoint(self.name, self.intrinsics.scaled(width, height), self.T_world_cam)

    def project(self, points: Float[np.ndarray, "N 3"]) -> Float64[np.ndarray, "N 3"]:
        """Return pixel u, v and depth (metres) of world points; NaN pixels behind the camera."""
        cam = transform_points(invert(self.T_world_cam), np.asarray(points, np.float64))
        return np.stack(self.intrinsics.project(cam), axis=-1)

    def frames(self, points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        """Return which points lie inside the image (hidden or not)."""
        u, v, _ = self.project(points).T
        inside = (u >= 0) & (u <= self.intrinsics.width - 1) & (v >= 0) & (v <= self.intrinsics.height - 1)
        return np.asarray(inside, np.bool_)


def of_keyframe(field: FieldView, index: int) -> Viewpoint:
    """Return a keyframe's camera.

    Raises:
        MapFileError: there is none of that index, or the map has no intrinsics.
    """
    return Viewpoint(f"view {index}", *field.camera(index))


def of_text(field: FieldView, text: str) -> Viewpoint:
    """Return the camera of a pose given as seven numbers, or by the name of a JSON file.

    Intrinsics that are not given are those of the map's first keyframe.

    Raises:
        PoseError: it is neither, or no rigid transform.
        IntrinsicsError: the file's intrinsics are incomplete or impossible.
        MapFileError: intrinsics are needed, and the map has none.
    """
    path = Path(text)
    if path.suffix.lower() == ".json":
        return _of_file(field, path)
    try:
        numbers = np.array([float(word) for word in text.split(",")])
    except ValueError as error:
        raise PoseError("pose_text", f"pose {text!r} is neither {POSE_FORM} nor a .json file: {error}") from error
    if len(numbers) != 7:
        raise PoseError("pose_text", f"pose {text!r} has {len(numbers)} numbers, not the 7 of {POSE_FORM}")
    return Viewpoint("given pose", field.camera(0)[0], pose_matrix(numbers[:3], numbers[3:]))


def _of_file(field: FieldView, path: Path) -> Viewpoint:
    if not path.is_file():
        raise PoseError("pose_file", f"there is no pose file {path}")
    try:
        document = read_object(path)
        T = np.array(document["T_world_cam"], np.float64)
    except (DatasetError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise PoseError("pose_file", f"pose file {path} is not {FILE_FORM}: {error!r}") from error
    pose = check_transform(T, f"{path}: T_world_cam")
    if "intrinsics" not in document:
        return Viewpoint(path.name, field.camera(0)[0], pose)
    told, where = document["intrinsics"], f"{path}: intrinsics"
    try:
        width, height = image_size(where, told["width"], told["height"], "width and height")
        fx, fy, cx, cy = (number(where, told[name], name) for name in ("fx", "fy", "cx", "cy"))
    except (DatasetError, KeyError, TypeError) as error:
        raise IntrinsicsError("intrinsics", f"pose file {path} is not {FILE_FORM}: {error!r}") from error
    return Viewpoint(path.name, Intrinsics(width, height, fx, fy, cx, cy), pose)


def best_keyframe(field: FieldView, points: Float[np.ndarray, "N 3"]) -> Viewpoint:
    """Return the keyframe that has most of the points in its image; of equals the one with them nearest its middle.

    Raises:
        MapFileError: the map has no keyframes or no intrinsics.
    """
    views = [of_keyframe(field, index) for index in range(max(field.views, 1))]
    if not len(points):
        return views[0]

    def merit(view: Viewpoint) -> tuple[int, float]:
        inside, k = view.frames(points), view.intrinsics
        off = np.abs(view.project(points)[inside, :2] / (k.width, k.height) - 0.5).max(axis=1)
        return int(inside.sum()), -float(off.mean()) if len(off) else 0.0

    return max(views, key=merit)


def check_sight(view: Viewpoint, surface: SurfaceMap) -> None:
    """Refuse a camera from which nothing of the map can be seen.

    Raises:
        PoseError: it is inside the mapped surface, or no mapped point lies in its image.
    """
    at = view.T_world_cam[:3, 3]
    low, high = surface.points.min(axis=0), surface.points.max(axis=0)
    spans = f"the map spans {_corner(low)} to {_corner(high)} m"
    if float(np.linalg.norm(surface.points - at, axis=1).min()) < 2 * surface.voxel_m:
        raise PoseError("pose_inside", f"{view.name}: the camera at {_corner(at)} m is inside the mapped surface "
                                       f"({spans}): move it off by a few centimetres")
    if not view.frames(surface.points).any():
        ahead = _corner(view.T_world_cam[:3, 2])
        raise PoseError("pose_outside", f"{view.name}: the camera at {_corner(at)} m looks along {ahead} and has no "
                                        f"mapped point in its image ({spans}): the pose is camera to world with ROS "
                                        "optical axes (x right, y down, z ahead)")


def _corner(values: Float[np.ndarray, " 3"]) -> str:
    return "(" + ", ".join(f"{v:.2f}" for v in values) + ")"
