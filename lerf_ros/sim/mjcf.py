# SPDX-License-Identifier: Apache-2.0
"""Collects MJCF assets and geoms as text, and remembers which object and part each geom belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from PIL import Image

from lerf_ros.sim.appearance import png_bytes
from lerf_ros.sim.catalog import Rgb
from lerf_ros.sim.shapes import Mesh, Point


def numbers(values: Iterable[float], digits: int = 5) -> str:
    """Numbers as an MJCF attribute."""
    return " ".join(f"{v:.{digits}f}" for v in values)


@dataclass
class AssetBook:
    """Meshes, textures and materials of one model; files stay in memory."""

    xml: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def _name(self, prefix: str) -> str:
        return f"{prefix}{len(self.xml)}"

    def texture(self, image: Image.Image) -> str:
        """Adds a 2D texture, returns its name."""
        name = self._name("texture")
        self.files[f"{name}.png"] = png_bytes(image)
        self.xml.append(f'<texture name="{name}" type="2d" file="{name}.png"/>')
        return name

    def material(self, rgb: Rgb, *, specular: float, shininess: float, texture: str | None = None) -> str:
        """Adds a material, returns its name."""
        name = self._name("material")
        cloth = f' texture="{texture}"' if texture else ""
        self.xml.append(
            f'<material name="{name}" rgba="{numbers(rgb)} 1" specular="{specular:.2f}" '
            f'shininess="{shininess:.2f}"{cloth}/>'
        )
        return name

    def mesh(self, mesh: Mesh) -> str:
        """Adds a mesh (its inertia that of a shell), returns its name."""
        name = self._name("mesh")
        uv = f' texcoord="{numbers(mesh.uv.ravel(), 3)}"' if mesh.uv is not None else ""
        faces = " ".join(map(str, mesh.faces.ravel()))
        vertices = numbers(mesh.vertices_m.ravel())
        self.xml.append(f'<mesh name="{name}" inertia="shell" vertex="{vertices}" face="{faces}"{uv}/>')
        return name


@dataclass
class ObjectBuilder:
    """Adds the geoms of one object, in its own frame (z = 0 is the table)."""

    name: str
    rng: np.random.Generator
    assets: AssetBook
    body_material: str
    part_material: str
    rgb: Rgb
    geoms: list[str] = field(default_factory=list)
    parts: dict[str, str | None] = field(default_factory=dict)

    def paint(self, rgb: Rgb, specular: float | None = None) -> str:
        """A further material in another colour."""
        shine = self.rng.uniform(0.05, 0.6) if specular is None else specular
        return self.assets.material(rgb, specular=shine, shininess=self.rng.uniform(0.1, 0.9))

    def geom(self, attributes: str, *, material: str | None = None, part: str | None = None) -> None:
        """Adds a visible, colliding geom of this object or one of its parts."""
        geom = f"{self.name}/{len(self.parts)}"
        self.parts[geom] = part
        chosen = material or (self.part_material if part else self.body_material)
        self.geoms.append(f'<geom class="object" name="{geom}" {attributes} material="{chosen}"/>')

    def mesh(
        self,
        mesh: Mesh,
        *,
        mass_kg: float,
        at: Point = (0, 0, 0),
        material: str | None = None,
        part: str | None = None,
        solid: bool = True,
    ) -> None:
        """Adds a mesh; `solid=False` leaves its contacts to `wall` segments instead of its convex hull."""
        contact = "" if solid else ' contype="0" conaffinity="0"'
        place = f'type="mesh" mesh="{self.assets.mesh(mesh)}" pos="{numbers(at)}" mass="{mass_kg}"{contact}'
        self.geom(place, material=material, part=part)

    def capsule(
        self, start: Point, end: Point, radius_m: float, *, material: str | None = None, part: str | None = None
    ) -> None:
        """Adds a capsule between two points."""
        ends = numbers((*start, *end))
        self.geom(f'type="capsule" fromto="{ends}" size="{radius_m:.5f}"', material=material, part=part)

    def tube(self, path: list[Point], radius_m: float, *, part: str | None = None) -> None:
        """Adds capsules along a polyline: a bent handle."""
        for start, end in pairwise(path):
            self.capsule(start, end, radius_m, part=part)

    def primitive(
        self,
        kind: str,
        size: tuple[float, ...],
        at: Point,
        *,
        material: str | None = None,
        part: str | None = None,
        extra: str = "",
    ) -> None:
        """Adds a box, sphere, ellipsoid or cylinder (half sizes)."""
        place = f'type="{kind}" size="{numbers(size)}" pos="{numbers(at)}" {extra}'
        self.geom(place, material=material, part=part)

    def wall(
        self, bottom: tuple[float, float], top: tuple[float, float], thickness_m: float, segments: int = 14
    ) -> None:
        """Adds an invisible ring of boxes from (radius, z) `bottom` to `top`: hollow contacts for a vessel."""
        (r0, z0), (r1, z1) = bottom, top
        slant, length = np.arctan2(r1 - r0, z1 - z0), float(np.hypot(r1 - r0, z1 - z0))
        radius, height = (r0 + r1) / 2 - thickness_m / 2, (z0 + z1) / 2
        half_width = max(r0, r1) * np.tan(np.pi / segments)
        for k in range(segments):
            turn = 2 * np.pi * k / segments
            pose = numbers((radius * np.cos(turn), radius * np.sin(turn), height))
            size = numbers((thickness_m / 2, half_width, length / 2))
            outward = np.array([np.cos(turn), np.sin(turn), 0.0])
            axis_z = np.sin(slant) * outward + np.array([0.0, 0.0, np.cos(slant)])
            axis_y = np.array([-np.sin(turn), np.cos(turn), 0.0])
            axis_x = np.cross(axis_y, axis_z)
            axes = numbers((*axis_x, *axis_y))
            place = f'type="box" size="{size}" pos="{pose}" xyaxes="{axes}"'
            self.geoms.append(f'<geom class="object" group="3" {place} mass="0.001"/>')
