# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from lerf_ros.sim.shapes import Mesh, arc, lathe, textured_box


def signed_volume(mesh: Mesh) -> float:
    """Sum of tetrahedra to the origin: positive if all triangles face outwards."""
    a, b, c = (mesh.vertices_m[mesh.faces[:, k]] for k in range(3))
    return float(np.einsum("fd,fd->f", a, np.cross(b, c)).sum() / 6)


def test_a_lathed_rectangle_has_the_volume_of_its_prism() -> None:
    segments = 32
    mesh = lathe([(0, 0), (0.03, 0), (0.03, 0.1), (0, 0.1)], segments)
    # a regular polygon of n corners on a circle of radius r has area n/2 r^2 sin(2 pi / n)
    area = segments / 2 * 0.03**2 * math.sin(2 * math.pi / segments)
    assert signed_volume(mesh) == pytest.approx(area * 0.1, rel=1e-3)


def test_a_textured_box_has_its_volume_and_six_upright_faces() -> None:
    mesh = textured_box((0.02, 0.03, 0.05))
    assert signed_volume(mesh) == pytest.approx(8 * 0.02 * 0.03 * 0.05)
    assert mesh.faces.shape == (12, 3)
    assert mesh.uv is not None
    sides = mesh.vertices_m[:16]
    np.testing.assert_array_equal(mesh.uv[:16, 1] == 1.0, sides[:, 2] < 0)


def test_an_arc_starts_and_ends_at_its_angles() -> None:
    points = arc(1.0, 2.0, 0.5, 0.0, math.pi / 2, 4)
    assert len(points) == 5
    np.testing.assert_allclose(points[0], (1.5, 0.0, 2.0))
    np.testing.assert_allclose(points[-1], (1.0, 0.0, 2.5), atol=1e-12)
