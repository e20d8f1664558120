# SPDX-License-Identifier: Apache-2.0
"""Cameras and rigid transforms: the only file that knows axis conventions.

`T_a_b` (4x4, float64) maps b-coordinates to a: `p_a = T_a_b @ p_b`. The camera frame is the ROS optical frame (x right,
y down, z forward; REP 103). Pixel (u, v) with integer coordinates is the centre of a pixel, as in CameraInfo K.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64

from lerf_ros.errors import IntrinsicsError, PoseError

RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole intrinsics of an undistorted image, in pixels.

    Raises:
        IntrinsicsError: a size or focal length is not positive, or a number is not finite.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy)
        if self.width <= 0 or self.height <= 0:
            raise IntrinsicsError("image_size", f"image size {self.width} x {self.height} has no pixels")
        if not all(map(math.isfinite, numbers)) or self.fx <= 0 or self.fy <= 0:
            raise IntrinsicsError("intrinsics", f"fx, fy, cx, cy = {numbers} are no pinhole camera (is it calibrated?)")

    def scaled(self, width: int, height: int) -> "Intrinsics":
        """Return the intrinsics of the same image resized to `width` x `height` (pixel centres kept: REP 104)."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5, cy=(self.cy + 0.5) * sy - 0.5,
        )  # fmt: skip

    def unproject(self, u: Float[np.ndarray, " N"], v: Float[np.ndarray, " N"]) -> Float32[np.ndarray, "N 3"]:
        """Return camera-frame directions with z = 1 through pixels (u, v)."""
        x = (u - self.cx) / self.fx
        y = (v - self.cy) / self.fy
        return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)

    def project(
        self, points_cam: Float[np.ndarray, "N 3"]
    ) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
        """Return pixel u, v and z-depth (m) of camera-frame points; u, v are NaN where z <= 0."""
        z = points_cam[:, 2]
        safe = np.where(z > 1e-9, z, np.nan)
        return points_cam[:, 0] / safe * self.fx + self.cx, points_cam[:, 1] / safe * self.fy + self.cy, z


def check_transform(T: np.ndarray, name: str = "transform") -> Float64[np.ndarray, "4 4"]:
    """Return `T` as a float64 4x4 rigid transform, its rotation made exactly orthonormal.

    Raises:
        PoseError: cause ``pose_not_finite`` or ``pose_not_rigid`` (shape, last row, rotation, mirrored).
    """
    T = np.asarray(T, dtype=np.float64)
    if T.shape != (4, 4):
        raise PoseError("pose_not_rigid", f"{name} has shape {T.shape}, not (4, 4)")
    if not np.isfinite(T).all():
        raise PoseError("pose_not_finite", f"{name} holds NaN or infinity")
    rotation = T[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > RIGID_TOLERANCE or np.linalg.det(rotation) < 0 or np.abs(T[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise PoseError("pose_not_rigid", f"{name} is not a rigid transform (|R R^T - 1| = {error:.2g}, or mirrored)")
    u, _, vt = np.linalg.svd(rotation)
    out = np.eye(4)
    out[:3, :3] = u @ vt
    out[:3, 3] = T[:3, 3]
    return out


def invert(T_a_b: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Return `T_b_a`."""
    out = np.eye(4)
    out[:3, :3] = T_a_b[:3, :3].T
    out[:3, 3] = -T_a_b[:3, :3].T @ T_a_b[:3, 3]
    return out


def transform_points(T_a_b: Float64[np.ndarray, "4 4"], points_b: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Return the points in frame a, in the dtype they came in."""
    return np.asarray(points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3], points_b.dtype)


def matrix_from_quaternion(x: float, y: float, z: float, w: float) -> Float64[np.ndarray, "3 3"]:
    """Return the rotation of a quaternion in ROS order (x, y, z, w).

    Raises:
        PoseError: cause ``pose_not_finite``, or ``pose_not_rigid`` for a norm away from 1 by more than 1 %.
    """
    q = np.array([x, y, z, w], dtype=np.float64)
    if not np.isfinite(q).all():
        raise PoseError("pose_not_finite", f"quaternion {q.tolist()} holds NaN or infinity")
    norm = float(np.linalg.norm(q))
    if abs(norm - 1.0) > 1e-2:
        raise PoseError("pose_not_rigid", f"quaternion {q.tolist()} has norm {norm:.4g}, not 1")
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_matrix(R: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, " 4"]:
    """Return the unit quaternion (x, y, z, w), w >= 0, of a rotation (Bar-Itzhack 2000: largest eigenvector)."""
    (a, b, c), (d, e, f), (g, h, i) = R
    k = np.array(
        [
            [a - e - i, d + b, g + c, h - f],
            [d + b, e - a - i, h + f, c - g],
            [g + c, h + f, i - a - e, d - b],
            [h - f, c - g, d - b, a + e + i],
        ]
    )
    q: Float64[np.ndarray, " 4"] = np.linalg.eigh(k)[1][:, -1]
    return q if q[3] >= 0 else -q


def pose_matrix(position: Float[np.ndarray, " 3"], quaternion: Float[np.ndarray, " 4"]) -> Float64[np.ndarray, "4 4"]:
    """Return the transform of a position (m) and a quaternion (x, y, z, w).

    Raises:
        PoseError: as `matrix_from_quaternion`, or the position is not finite.
    """
    if not np.isfinite(position).all():
        raise PoseError("pose_not_finite", f"position {np.asarray(position).tolist()} holds NaN or infinity")
    T = np.eye(4)
    T[:3, :3] = matrix_from_quaternion(*(float(q) for q in quaternion))
    T[:3, 3] = position
    return T


def optical_from_opengl(T_world_gl: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Return `T_world_cam` (ROS optical axes) of a camera given in OpenGL axes (x right, y up, z back: nerfstudio)."""
    return np.asarray(T_world_gl @ np.diag([1.0, -1.0, -1.0, 1.0]))


def rotation_angle(R: Float64[np.ndarray, "3 3"]) -> float:
    """Return the angle of a rotation, radians in [0, pi]."""
    return math.acos(float(np.clip((np.trace(R) - 1) / 2, -1.0, 1.0)))


def look_at(
    eye_m: Float64[np.ndarray, " 3"], target_m: Float64[np.ndarray, " 3"], roll_rad: float = 0.0
) -> Float64[np.ndarray, "4 4"]:
    """Return the optical pose at `eye_m` looking at `target_m`, the image upright with respect to world z, then rolled.

    Looking straight down, the image's top points along world x.
    """
    forward = (target_m - eye_m) / np.linalg.norm(target_m - eye_m)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    if np.linalg.norm(right) < 1e-6:
        right = np.array([0.0, -1.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = math.cos(roll_rad), math.sin(roll_rad)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([c * right + s * down, c * down - s * right, forward], axis=1)
    pose[:3, 3] = eye_m
    return pose
