# SPDX-License-Identifier: Apache-2.0
"""Collision shapes of a robot description (URDF): which convex shape moves with which link.

Of a URDF the filter needs shapes and their links alone: poses come from transforms, not from joint angles. So this
reads the XML itself and leaves meshes to trimesh. A mesh counts as its convex hull.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
from jaxtyping import Float64
from scipy.spatial import ConvexHull, QhullError

from lerf_ros.core.robot_mask import Hull
from lerf_ros.errors import RobotDescriptionError

MAX_CHARACTERS = 50_000_000
MAX_SHAPES = 1000
MAX_MESH_BYTES = 100_000_000
"""A mesh is read whole, to the memory that the map needs; collision meshes have kilobytes."""

FindPackage = Callable[[str], Path]
"""Where a package's shared files lie; raises LookupError if it is not installed."""


@dataclass(frozen=True, eq=False)
class LinkShape:
    """A shape that is fixed to a link."""

    link: str
    hull: Hull
    T_link_shape: Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class CollisionShapes:
    """All collision shapes of a robot.

    Attributes:
        shapes: in the order of the description.
        parents: of each link with shapes the nearest link above it that has some too, or None.
    """

    shapes: tuple[LinkShape, ...]
    parents: dict[str, str | None]


def read_shapes(text: str, find_package: FindPackage, skip: Sequence[str] = ()) -> CollisionShapes:
    """Return the collision shapes of a URDF; those of the links in `skip` are left out.

    Raises:
        RobotDescriptionError: it is no URDF, has no collision shapes (left), names a shape of unknown kind or size, or
            a mesh that cannot be read; the message names the link.
    """
    robot = _parse(text)
    found = [(name, collision) for link in robot.findall("link") if (name := link.get("name", "")) not in skip
             for collision in link.findall("collision")]  # fmt: skip
    unknown = sorted(set(skip) - {link.get("name", "") for link in robot.findall("link")})
    if unknown:
        raise RobotDescriptionError(f"input.self_filter_skip names {unknown[0]!r}, which is no link of the robot")
    if not 0 < len(found) <= MAX_SHAPES:
        raise RobotDescriptionError(f"the robot description has {len(found)} collision shapes, not 1 to {MAX_SHAPES}")
    shapes = []
    for name, collision in found:
        try:
            shapes.append(LinkShape(name, _hull(collision.find("geometry"), find_package), _origin(collision)))
        except (ValueError, LookupError, OSError, QhullError) as error:
            raise RobotDescriptionError(f"collision shape of link {name!r}: {error}") from error
    return CollisionShapes(tuple(shapes), _parents(robot, {shape.link for shape in shapes}))


def _parse(text: str) -> ET.Element:
    if len(text) > MAX_CHARACTERS:
        raise RobotDescriptionError(f"a robot description of {len(text)} characters is longer than {MAX_CHARACTERS}")
    if "<!ENTITY" in text:
        raise RobotDescriptionError("a robot description that declares entities is not read")
    try:
        robot = ET.fromstring(text)
    except ET.ParseError as error:
        raise RobotDescriptionError(f"the robot description is no XML: {error}") from error
    if robot.tag != "robot":
        raise RobotDescriptionError(f"the robot description is a <{robot.tag}>, not a <robot> (URDF)")
    if any(element.tag.startswith("{") and "xacro" in element.tag for element in robot.iter()):
        raise RobotDescriptionError("the robot description still holds xacro macros: publish what xacro makes of it")
    return robot


def _parents(robot: ET.Element, links: set[str]) -> dict[str, str | None]:
    above = {}
    for joint in robot.findall("joint"):
        child, parent = joint.find("child"), joint.find("parent")
        if child is not None and parent is not None:
            above[child.get("link", "")] = parent.get("link", "")
    return {link: next((a for a in _ancestors(link, above) if a in links), None) for link in links}


def _ancestors(link: str, above: dict[str, str]) -> Iterator[str]:
    seen = {link}
    while (link := above.get(link, "")) and link not in seen:
        seen.add(link)
        yield link


def _numbers(text: str | None, count: int, what: str) -> Float64[np.ndarray, " N"]:
    values = np.array([float(word) for word in (text or "").split()])
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{what} = {text!r} is not {count} finite numbers")
    return values


def _size(element: ET.Element, name: str, count: int = 1) -> Float64[np.ndarray, " N"]:
    values = _numbers(element.get(name), count, name)
    if (values <= 0).any():
        raise ValueError(f"{name} = {element.get(name)!r} is not above 0")
    return values


def _origin(collision: ET.Element) -> Float64[np.ndarray, "4 4"]:
    """Return `T_link_shape`: xyz and fixed-axis roll, pitch, yaw."""
    T = np.eye(4)
    origin = collision.find("origin")
    if origin is not None:
        T[:3, 3] = _numbers(origin.get("xyz", "0 0 0"), 3, "xyz")
        (cr, cp, cy), (sr, sp, sy) = (f(_numbers(origin.get("rpy", "0 0 0"), 3, "rpy")) for f in (np.cos, np.sin))
        T[:3, :3] = [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    return T


def _hull(geometry: ET.Element | None, find_package: FindPackage) -> Hull:
    if geometry is None or not len(geometry):
        raise ValueError("it has no geometry")
    shape = geometry[0]
    match shape.tag:
        case "box":
            return Hull.box(_size(shape, "size", 3).tolist())
        case "sphere":
            return Hull.sphere(float(_size(shape, "radius")[0]))
        case "cylinder":
            return Hull.cylinder(float(_size(shape, "radius")[0]), float(_size(shape, "length")[0]))
        case "capsule":
            return Hull.capsule(float(_size(shape, "radius")[0]), float(_size(shape, "length")[0]))
        case "mesh":
            scale = _numbers(shape.get("scale", "1 1 1"), 3, "scale")
            return Hull(_corners(_mesh_file(shape.get("filename", ""), find_package)) * scale)
    raise ValueError(f"<{shape.tag}> is none of box, sphere, cylinder, capsule, mesh")


def _mesh_file(name: str, find_package: FindPackage) -> Path:
    """Return the file of a mesh: package://name/path, file:///path or an absolute path."""
    uri = urlparse(name)
    path = Path(unquote(uri.path))
    if uri.scheme == "package":
        path = find_package(uri.netloc) / unquote(uri.path).lstrip("/")
    elif uri.scheme not in ("", "file") or not path.is_absolute():
        raise ValueError(f"mesh {name!r} is neither package://, file:/// nor an absolute path")
    if not path.is_file():
        raise ValueError(f"mesh {name!r} does not exist (looked at {path})")
    if (size := path.stat().st_size) > MAX_MESH_BYTES:
        raise ValueError(f"mesh {name!r} has {size} bytes, more than {MAX_MESH_BYTES}: use a simpler collision mesh")
    return path


def _corners(file: Path) -> Float64[np.ndarray, "N 3"]:
    """Return the corners of a mesh's convex hull."""
    import trimesh  # slow to import, and most robots' shapes are primitives or none

    try:
        mesh = trimesh.load(file, force="mesh", process=False)
    except Exception as error:  # whatever its readers raise
        raise ValueError(f"mesh {file} cannot be read ({type(error).__name__}: {error}): STL and OBJ can") from error
    points = np.asarray(getattr(mesh, "vertices", ()), np.float64).reshape(-1, 3)
    if len(points) < 4 or not np.isfinite(points).all():
        raise ValueError(f"mesh {file} has {len(points)} corners, or some that are not finite")
    return np.asarray(points[ConvexHull(points).vertices])
