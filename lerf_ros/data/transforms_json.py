# SPDX-License-Identifier: Apache-2.0
"""Reader of captures in nerfstudio's layout: a folder with `transforms.json`, images, and optional depth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

from lerf_ros.core.geometry import Intrinsics, check_transform, optical_from_opengl
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.data.documents import number, read_object
from lerf_ros.errors import DatasetError, LerfError

NANOSECONDS = 1_000_000_000
DEFAULT_PERIOD_S = 0.1
MAX_STAMP_S = 9e9
"""What 64 bits of nanoseconds hold: some 285 years."""

MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")


@dataclass(frozen=True)
class Frame:
    """One entry of a capture: where its files are, and what is said of them.

    Attributes:
        stamp_ns: from `timestamp`; without one, frames are 0.1 s apart.
        T_world_cam: ROS optical axes, metres.
        distortion: k1, k2, p1, p2, k3 (plumb_bob).
        depth_unit_m: metres a unit of a 16-bit depth image.
    """

    image_path: Path
    depth_path: Path | None
    stamp_ns: int
    intrinsics: Intrinsics
    distortion: tuple[float, ...]
    T_world_cam: Float64[np.ndarray, "4 4"]
    depth_unit_m: float

    def load(self, use_depth: bool = True) -> PosedImage:
        """Read the files, undistort, and return the frame as the node would build it.

        Raises:
            DatasetError: a file is missing, not an image, or of another size than `transforms.json` says.
        """
        bgr = cv2.imread(str(self.image_path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise DatasetError(f"{self.image_path} is missing or not an image")
        depth = self._load_depth() if use_depth and self.depth_path else None
        rgb = np.ascontiguousarray(bgr[..., ::-1])
        try:
            # Sizes are checked before any image of the size that is only said to be is made.
            PosedImage(self.stamp_ns, rgb, depth, self.intrinsics, self.T_world_cam)
            rgb, depth = undistort(rgb, depth, self.intrinsics, self.distortion)
            return PosedImage(self.stamp_ns, rgb, depth, self.intrinsics, self.T_world_cam)
        except LerfError as error:
            raise DatasetError(f"{self.image_path}: {error}") from error

    def _load_depth(self) -> npt.NDArray[Any]:
        raw = cv2.imread(str(self.depth_path), cv2.IMREAD_UNCHANGED)
        if raw is None or raw.ndim != 2:
            raise DatasetError(f"{self.depth_path} is missing or not a one-channel depth image")
        depth = raw.astype(np.float32) * np.float32(self.depth_unit_m)
        # 7-Scenes and others mark "no depth" by the largest value as well as by 0.
        depth[(raw == 0) | ~np.isfinite(depth)] = 0.0
        if raw.dtype == np.uint16:
            depth[raw == np.iinfo(np.uint16).max] = 0.0
        return depth


def undistort(
    rgb: npt.NDArray[Any],
    depth_m: npt.NDArray[Any] | None,
    intrinsics: Intrinsics,
    distortion: tuple[float, ...],
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return colour (bilinear) and depth (nearest) without plumb_bob distortion, for the same pinhole intrinsics."""
    if not any(distortion):
        return rgb, depth_m
    K = np.array([[intrinsics.fx, 0, intrinsics.cx], [0, intrinsics.fy, intrinsics.cy], [0, 0, 1]])
    size = (intrinsics.width, intrinsics.height)
    u, v = cv2.initUndistortRectifyMap(K, np.asarray(distortion), np.eye(3), K, size, cv2.CV_32FC1)
    rgb = cv2.remap(rgb, u, v, cv2.INTER_LINEAR)
    return rgb, None if depth_m is None else cv2.remap(depth_m, u, v, cv2.INTER_NEAREST)


def read_capture(folder: Path) -> tuple[Frame, ...]:
    """Return the frames of a capture, in the order of the file; images are read later, by `Frame.load`.

    Raises:
        DatasetError: the file is missing, no JSON, lacks a key, or a frame's pose is not rigid or its image missing.
    """
    path = folder / "transforms.json" if folder.is_dir() else folder
    document = read_object(path)
    if not isinstance(document.get("frames"), list) or not document["frames"]:
        raise DatasetError(f"{path} has no list 'frames'; is it a nerfstudio transforms.json?")
    return tuple(_frame(path, document, entry, index) for index, entry in enumerate(document["frames"]))


def held_out_indices(count: int, holdout: int) -> list[int]:
    """Return `holdout` indices spread evenly over `count` frames: the views that measurements are made on.

    Raises:
        DatasetError: fewer than two frames would be left.
    """
    if holdout and count - holdout < 2:
        raise DatasetError(f"{count} frames are too few to hold out {holdout}")
    return [int((i + 0.5) * count / holdout) for i in range(holdout)]


def _frame(path: Path, document: Mapping[str, Any], entry: Any, index: int) -> Frame:
    """Read one entry; its own keys override those of the whole file."""
    where = f"{path}: frame {index}"
    if not isinstance(entry, dict):
        raise DatasetError(f"{where} is not an object")
    values = {**document, **entry}
    model = values.get("camera_model", "OPENCV")
    if model not in MODELS:
        raise DatasetError(f"{where}: camera_model {model!r} is not supported (only {', '.join(MODELS)})")
    image = _file(path, where, values, "file_path")
    if image is None:
        raise DatasetError(f"{where} has no 'file_path'")
    try:
        intrinsics = Intrinsics(
            int(_number(where, values, "w")), int(_number(where, values, "h")), _number(where, values, "fl_x"),
            _number(where, values, "fl_y", values.get("fl_x")), _number(where, values, "cx"),
            _number(where, values, "cy"),
        )  # fmt: skip
        T_world_gl = np.array(values.get("transform_matrix"), dtype=np.float64)
        T_world_cam = optical_from_opengl(check_transform(T_world_gl, "transform_matrix"))
    except (LerfError, OverflowError, TypeError, ValueError) as error:
        raise DatasetError(f"{where} ({image.name}): {error}") from error
    stamp = _number(where, values, "timestamp", index * DEFAULT_PERIOD_S)
    if abs(stamp) > MAX_STAMP_S:
        raise DatasetError(f"{where}: timestamp must be in seconds, at most {MAX_STAMP_S:g}, not {stamp:g}")
    return Frame(
        image, _file(path, where, values, "depth_file_path"), round(stamp * NANOSECONDS), intrinsics,
        tuple(_number(where, values, key, 0.0) for key in ("k1", "k2", "p1", "p2", "k3")), T_world_cam,
        _number(where, values, "depth_unit_scale_factor", 0.001),
    )  # fmt: skip


def _file(path: Path, where: str, values: Mapping[str, Any], key: str) -> Path | None:
    """Return the named file, which must exist and lie inside the capture's folder."""
    name = values.get(key)
    if name is None:
        return None
    try:
        file = (path.parent / str(name)).resolve()
        there = file.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, a NUL in it
        raise DatasetError(f"{where}: {key} {str(name)!r:.80} cannot be a file: {error}") from error
    if not file.is_relative_to(path.parent.resolve()):
        raise DatasetError(f"{where}: {key} {str(name)!r} leads out of {path.parent}")
    if not there:
        raise DatasetError(f"{where}: {key} {str(name)!r} does not exist")
    return file


def _number(where: str, values: Mapping[str, Any], key: str, default: object = None) -> float:
    return number(where, values.get(key, default), key)
