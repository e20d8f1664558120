# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from lerf_ros.core import collision_shapes
from lerf_ros.core.collision_shapes import CollisionShapes, read_shapes
from lerf_ros.errors import RobotDescriptionError

# a right-angled corner piece, in millimetres, as CAD programs write it
STL = "solid s\n" + "".join(
    "facet normal 0 0 0\nouter loop\n" + "".join(f"vertex {x} {y} {z}\n" for x, y, z in face) + "endloop\nendfacet\n"
    for face in (
        ((0, 0, 0), (0, 50, 0), (100, 0, 0)),
        ((0, 0, 0), (100, 0, 0), (0, 0, 25)),
        ((0, 0, 0), (0, 0, 25), (0, 50, 0)),
        ((100, 0, 0), (0, 50, 0), (0, 0, 25)),
    )
) + "endsolid s\n"  # fmt: skip


def nowhere(package: str) -> Path:
    raise LookupError(f"package {package!r} is not installed")


def urdf(geometry: str, origin: str = "") -> str:
    collision = f"<collision>{origin}<geometry>{geometry}</geometry></collision>"
    return f'<robot name="r"><link name="hand">{collision}</link></robot>'


def read(text: str, *skip: str) -> CollisionShapes:
    return read_shapes(text, nowhere, skip)


def test_primitives() -> None:
    box, sphere, cylinder, capsule = (
        read(urdf(shape)).shapes[0].hull
        for shape in (
            '<box size="0.2 0.4 0.6"/>',
            '<sphere radius="0.3"/>',
            '<cylinder radius="0.1" length="0.5"/>',
            '<capsule radius="0.1" length="0.5"/>',
        )
    )
    np.testing.assert_allclose(np.abs(box.points), np.tile([0.1, 0.2, 0.3], (8, 1)))
    assert (len(sphere.points), sphere.radius_m) == (1, 0.3)
    assert cylinder.points[:, 2].tolist() == [-0.25] * 24 + [0.25] * 24
    middles = (cylinder.points[:24] + np.roll(cylinder.points[:24], 1, axis=0)) / 2
    np.testing.assert_allclose(np.linalg.norm(middles[:, :2], axis=1), 0.1)  # the polygon is around the circle
    np.testing.assert_allclose(capsule.points, [[0, 0, -0.25], [0, 0, 0.25]])
    assert capsule.radius_m == 0.1


def test_the_origin_turns_about_fixed_axes() -> None:
    origin = f'<origin xyz="1 2 3" rpy="{np.pi / 2} 0 {np.pi / 2}"/>'
    T = read(urdf('<sphere radius="1"/>', origin)).shapes[0].T_link_shape
    np.testing.assert_allclose(T[:3, 3], [1, 2, 3])
    np.testing.assert_allclose(T[:3, :3] @ [0, 1, 0], [0, 0, 1], atol=1e-12)  # roll takes y to z, yaw leaves it there
    np.testing.assert_allclose(T[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_a_mesh_of_a_package_with_its_scale(tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "part.stl").write_text(STL)
    text = urdf('<mesh filename="package://arm/meshes/part.stl" scale="0.001 0.001 0.001"/>')
    hull = read_shapes(text, {"arm": tmp_path}.__getitem__).shapes[0].hull
    expected = {(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (0.0, 0.05, 0.0), (0.0, 0.0, 0.025)}
    assert {tuple(p) for p in np.round(hull.points, 9).tolist()} == expected
    same = read(urdf(f'<mesh filename="file://{tmp_path}/meshes/part.stl"/>')).shapes[0].hull
    np.testing.assert_allclose(np.ptp(same.points, axis=0), [100, 50, 25])


CHAIN = """<robot name="r">
<link name="base"><collision><geometry><sphere radius="1"/></geometry></collision></link>
<link name="bare"/>
<link name="tip"><collision><geometry><sphere radius="1"/></geometry></collision></link>
<joint name="a" type="fixed"><parent link="base"/><child link="bare"/></joint>
<joint name="b" type="fixed"><parent link="bare"/><child link="tip"/></joint></robot>"""


def test_each_link_knows_the_nearest_one_above_that_has_shapes() -> None:
    assert read(CHAIN).parents == {"base": None, "tip": "base"}
    assert read(CHAIN, "base").parents == {"tip": None}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no XML"),
        ("<robot", "no XML"),
        ("<sdf/>", "<sdf>"),
        ('<!DOCTYPE r [<!ENTITY a "b">]><robot>&a;</robot>', "entities"),
        ('<robot xmlns:xacro="http://ros.org/wiki/xacro"><xacro:macro name="m"/></robot>', "xacro"),
        ('<robot name="r"><link name="hand"/></robot>', "0 collision shapes"),
        (urdf('<box size="1 1"/>'), "'hand': size = '1 1'"),
        (urdf('<box size="1 -1 1"/>'), "not above 0"),
        (urdf('<sphere radius="nan"/>'), "finite"),
        (urdf('<sphere radius="big"/>'), "'hand'"),
        (urdf("<torus/>"), "<torus>"),
        (urdf(""), "no geometry"),
        (urdf('<mesh filename="package://gone/a.stl"/>'), "package 'gone' is not installed"),
        (urdf('<mesh filename="http://example.org/a.stl"/>'), "neither package://"),
        (urdf('<mesh filename="file:///none/a.stl"/>'), "does not exist"),
        (urdf('<sphere radius="1"/>', '<origin xyz="0 0"/>'), "xyz"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(RobotDescriptionError) as refused:
        read(text)
    assert reason in str(refused.value)


def test_a_mesh_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.stl").write_bytes(b"\x00" * 10)
    with pytest.raises(RobotDescriptionError, match=r"a\.stl"):
        read(urdf(f'<mesh filename="{tmp_path}/a.stl"/>'))


def test_skipping_a_link_that_is_not_there() -> None:
    with pytest.raises(RobotDescriptionError, match="'hans'"):
        read(CHAIN, "hans")


def test_too_many_shapes_are_refused_before_any_mesh_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(package: str) -> Path:
        asked.append(package)
        return nowhere(package)

    monkeypatch.setattr(collision_shapes, "MAX_SHAPES", 2)
    mesh = '<collision><geometry><mesh filename="package://arm/a.stl"/></geometry></collision>'
    with pytest.raises(RobotDescriptionError, match="3 collision shapes, not 1 to 2"):
        read_shapes(f'<robot name="r"><link name="hand">{3 * mesh}</link></robot>', note)
    assert not asked


def test_a_mesh_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.stl"
    with file.open("wb") as out:
        out.truncate(collision_shapes.MAX_MESH_BYTES + 1)  # a hole: it takes no space
    with pytest.raises(RobotDescriptionError, match=r"'hand': mesh .* has 100000001 bytes, more than 100000000"):
        read(urdf(f'<mesh filename="{file}"/>'))


def test_the_length_of_a_description_is_told_in_what_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collision_shapes, "MAX_CHARACTERS", 10)
    with pytest.raises(RobotDescriptionError, match="of 11 characters is longer than 10"):
        read("\N{BULLET}" * 11)
