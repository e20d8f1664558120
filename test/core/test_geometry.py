# SPDX-License-Identifier: Apache-2.0
"""Axis conventions and group axioms of rigid transforms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerf_ros.core import geometry
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.errors import IntrinsicsError, PoseError

CAMERA = Intrinsics(640, 480, 500.0, 510.0, 319.5, 239.5)
angles = st.floats(-3.1, 3.1)


def rotation(x: float, y: float, z: float) -> np.ndarray:
    angle = np.sqrt(x * x + y * y + z * z)
    if angle < 1e-9:
        return np.eye(3)
    a = np.array([x, y, z]) / angle
    k = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k)


def rigid(x: float, y: float, z: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation(x, y, z), (x, -y, 2 * z)
    return T


@given(angles, angles, angles)
def test_inverse_undoes(x: float, y: float, z: float) -> None:
    T = rigid(x, y, z)
    np.testing.assert_allclose(T @ geometry.invert(T), np.eye(4), atol=1e-12)


@given(angles, angles, angles)
def test_quaternion_and_matrix_are_one_rotation(x: float, y: float, z: float) -> None:
    R = rotation(x, y, z)
    q = geometry.quaternion_from_matrix(R)
    assert np.linalg.norm(q) == pytest.approx(1.0)
    np.testing.assert_allclose(geometry.matrix_from_quaternion(*q), R, atol=1e-9)


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    R = geometry.matrix_from_quaternion(0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))
    np.testing.assert_allclose(R @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_a_point_in_front_projects_inside_right_is_right_and_down_is_down() -> None:
    u, v, z = CAMERA.project(np.array([[0.0, 0.0, 2.0], [0.1, 0.0, 2.0], [0.0, 0.1, 2.0], [0.0, 0.0, -1.0]]))
    np.testing.assert_allclose(u[:3], [319.5, 319.5 + 0.1 / 2 * 500, 319.5])
    np.testing.assert_allclose(v[:3], [239.5, 239.5, 239.5 + 0.1 / 2 * 510])
    assert z.tolist() == [2.0, 2.0, 2.0, -1.0]
    assert np.isnan(u[3])


def test_unproject_is_the_inverse_of_project() -> None:
    u, v = np.array([0.0, 100.5, 639.0]), np.array([0.0, 300.25, 479.0])
    back_u, back_v, _ = CAMERA.project(CAMERA.unproject(u, v).astype(np.float64) * 1.7)
    np.testing.assert_allclose(back_u, u, atol=1e-3)
    np.testing.assert_allclose(back_v, v, atol=1e-3)


def test_resizing_keeps_the_middle_of_the_image_in_the_middle() -> None:
    half = CAMERA.scaled(320, 240)
    assert (half.cx, half.cy, half.fx) == (159.5, 119.5, 250.0)


def test_opengl_camera_looking_along_minus_z_is_an_optical_one_looking_along_plus_z() -> None:
    T = geometry.optical_from_opengl(np.eye(4))
    np.testing.assert_allclose(T[:3, :3] @ [0, 0, 1], [0, 0, -1])  # forward
    np.testing.assert_allclose(T[:3, :3] @ [0, 1, 0], [0, -1, 0])  # down


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda T: T.__setitem__((0, 0), np.nan), "pose_not_finite"),
        (lambda T: T.__setitem__((0, 0), 2.0), "pose_not_rigid"),
        (lambda T: T.__setitem__((slice(3), 0), -T[:3, 0]), "pose_not_rigid"),
        (lambda T: T.__setitem__((3, 0), 0.5), "pose_not_rigid"),
    ],
)
def test_a_transform_that_is_none_is_refused_with_its_cause(change: object, cause: str) -> None:
    T = rigid(0.3, 0.2, 0.1)
    change(T)  # type: ignore[operator]
    with pytest.raises(PoseError) as error:
        geometry.check_transform(T)
    assert error.value.cause == cause


def test_a_transform_of_another_shape_is_refused() -> None:
    with pytest.raises(PoseError, match="shape"):
        geometry.check_transform(np.eye(3))


def test_a_slightly_rounded_rotation_is_made_exact() -> None:
    T = np.round(rigid(0.3, 0.2, 0.1), 5)
    R = geometry.check_transform(T)[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("quaternion", [(0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 2.0), (np.nan, 0.0, 0.0, 1.0)])
def test_a_quaternion_that_is_no_rotation_is_refused(quaternion: tuple[float, float, float, float]) -> None:
    with pytest.raises(PoseError):
        geometry.matrix_from_quaternion(*quaternion)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [((0, 480, 1.0, 1.0, 0.0, 0.0), "image_size"), ((640, 480, 0.0, 1.0, 0.0, 0.0), "intrinsics"),
     ((640, 480, 1.0, np.inf, 0.0, 0.0), "intrinsics")],
)  # fmt: skip
def test_impossible_intrinsics_are_refused(arguments: tuple[int, int, float, float, float, float], cause: str) -> None:
    with pytest.raises(IntrinsicsError) as error:
        Intrinsics(*arguments)
    assert error.value.cause == cause
