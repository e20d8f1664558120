# SPDX-License-Identifier: Apache-2.0
"""Compiles a `SceneSpec` to a MuJoCo model of table, objects, light and arm."""

from dataclasses import dataclass
from typing import Final

import mujoco
import numpy as np
from jaxtyping import Int64

from lerf_ros.sim import arm_model
from lerf_ros.sim.appearance import any_hue, jittered, surface_texture
from lerf_ros.sim.catalog import HELD_COLOURS
from lerf_ros.sim.mjcf import AssetBook, ObjectBuilder, numbers
from lerf_ros.sim.objects import MAKERS
from lerf_ros.sim.shapes import textured_box
from lerf_ros.sim.spec import ObjectSpec, SceneSpec

HOME_JOINTS_RAD: Final[tuple[float, ...]] = (0.0, -0.5, 1.9, 0.0, 1.2, 0.0)
DEFAULT_FOVY_DEG: Final = 52.0
IMAGE_WIDTH_PX: Final = 640
IMAGE_HEIGHT_PX: Final = 480


@dataclass(frozen=True)
class Scene:
    """A compiled scene. `geom_object[g]` is an index into `spec.objects`, or one of the negative codes below."""

    spec: SceneSpec
    model: mujoco.MjModel
    data: mujoco.MjData
    geom_object: Int64[np.ndarray, "G"]
    geom_part: tuple[str | None, ...]

    TABLE = -2
    FLOOR = -3
    ARM = -4
    NOTHING = -1

    def forward(self) -> None:
        """Brings all derived quantities (poses of bodies, sites, cameras) up to date with the joint positions."""
        mujoco.mj_forward(self.model, self.data)


def _object_xml(spec: ObjectSpec, assets: AssetBook) -> tuple[str, dict[str, str | None]]:
    rng = np.random.default_rng(spec.seed)
    shades = np.random.default_rng((spec.seed, 1))
    rgb = jittered(shades, spec.colour) if spec.colour else any_hue(shades, HELD_COLOURS.get(spec.category, ()))

    def finish() -> tuple[float, float]:
        return float(shades.uniform(0.05, 0.6)), float(shades.uniform(0.1, 0.9))

    specular, shininess = finish()
    body = assets.material(rgb, specular=specular, shininess=shininess)
    part = body
    if spec.part_colour:
        specular, shininess = finish()
        part = assets.material(jittered(shades, spec.part_colour), specular=specular, shininess=shininess)
    builder = ObjectBuilder(spec.name, rng, assets, body, part, rgb)
    MAKERS[spec.category](builder, spec.word)
    x, y = spec.position_xy_m
    pose = f'pos="{x:.5f} {y:.5f} 0.001" euler="0 0 {spec.yaw_rad:.5f}"'
    return f'<body name="{spec.name}" {pose}><freejoint/>{"".join(builder.geoms)}</body>', builder.parts


def _surroundings_xml(spec: SceneSpec, assets: AssetBook) -> str:
    rng = np.random.default_rng((spec.seed, 2))
    floor_texture = assets.texture(surface_texture(rng, spec.floor))
    floor = assets.material((1, 1, 1), specular=0.1, shininess=0.2, texture=floor_texture)
    table_texture = assets.texture(surface_texture(rng, spec.table))
    table = assets.material((1, 1, 1), specular=0.15, shininess=0.3, texture=table_texture)
    half = (float(rng.uniform(0.38, 0.6)), float(rng.uniform(0.42, 0.75)), 0.02)
    centre_x = half[0] - 0.04 + rng.uniform(-0.03, 0.05)
    top = assets.mesh(textured_box(half))
    place = f"{centre_x:.4f} 0 -0.02"
    return f"""
<geom name="floor" type="plane" size="6 6 0.1" pos="0 0 -0.75" material="{floor}"/>
<geom name="table" type="mesh" mesh="{top}" pos="{place}" material="{table}" contype="0" conaffinity="0"/>
<geom name="table_contact" class="object" type="box" group="3" size="{numbers(half)}" pos="{place}"/>"""


def _light_xml(seed: int) -> tuple[str, str]:
    """(headlight, directional light) of the scene."""
    rng = np.random.default_rng((seed, 3))
    ambient, diffuse = rng.uniform(0.18, 0.42), rng.uniform(0.38, 0.65)
    even = f'ambient="{numbers([ambient] * 3)}" diffuse="{numbers([diffuse / 2] * 3)}"'
    head = f'<headlight {even} specular="0.1 0.1 0.1"/>'
    towards = (rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4), -1.0)
    # The light's axis meets the middle of the workspace, so a small and hence fine shadow map covers it.
    where = (0.42 - 1.2 * towards[0], -1.2 * towards[1], 1.2)
    tint = (diffuse, diffuse * rng.uniform(0.9, 1), diffuse * rng.uniform(0.8, 1))
    light = f'<light pos="{numbers(where)}" dir="{numbers(towards)}" type="directional" diffuse="{numbers(tint)}"/>'
    return head, light


def scene_xml(spec: SceneSpec, fovy_deg: float = DEFAULT_FOVY_DEG) -> tuple[str, AssetBook, dict[str, str | None]]:
    """MJCF text, its in-memory assets, and the part of every object geom."""
    assets = AssetBook()
    parts: dict[str, str | None] = {}
    surroundings = _surroundings_xml(spec, assets)
    bodies = []
    for item in spec.objects:
        xml, named = _object_xml(item, assets)
        bodies.append(xml)
        parts |= named
    headlight, light = _light_xml(spec.seed)
    xml = f"""<mujoco model="lerf_tabletop"><compiler angle="radian" autolimits="true"/>
<option timestep="0.002" integrator="implicitfast" cone="elliptic" impratio="10"/>
<visual><global offwidth="{IMAGE_WIDTH_PX}" offheight="{IMAGE_HEIGHT_PX}"/><quality shadowsize="1024" offsamples="0"/>
<map znear="0.02" zfar="12" shadowclip="0.6"/>{headlight}</visual><statistic extent="1" center="0.42 0 0.05"/>
<default><default class="object"><geom condim="4" friction="0.8 0.01 0.0005" density="400"/></default>
{arm_model.DEFAULTS}</default>
<asset>{arm_model.ASSETS}{"".join(assets.xml)}
<texture type="skybox" builtin="gradient" rgb1="0.75 0.78 0.82" rgb2="0.5 0.5 0.52" width="64" height="64"/></asset>
<worldbody>{light}<camera name="free" fovy="{fovy_deg:.4f}"/>{surroundings}
{arm_model.body_xml(fovy_deg)}{"".join(bodies)}</worldbody>
{arm_model.actuation_xml()}</mujoco>"""
    return xml, assets, parts


def _geom_owner(name: str, by_name: dict[str, int]) -> int:
    fixed = {"floor": Scene.FLOOR, "table": Scene.TABLE, "arm": Scene.ARM}
    stem = name.split("/")[0]
    return fixed.get(stem, by_name.get(stem, Scene.NOTHING))


def build(spec: SceneSpec, *, settle_s: float = 0.4, fovy_deg: float = DEFAULT_FOVY_DEG) -> Scene:
    """Compiles the scene, puts the arm at home and lets the objects settle."""
    xml, assets, parts = scene_xml(spec, fovy_deg)
    model = mujoco.MjModel.from_xml_string(xml, assets.files)
    data = mujoco.MjData(model)
    for joint, angle in zip(arm_model.JOINTS, HOME_JOINTS_RAD, strict=True):
        data.joint(joint).qpos[0] = angle
        data.actuator(joint).ctrl[0] = angle
    for finger in arm_model.FINGERS:
        data.joint(finger).qpos[0] = arm_model.FINGER_TRAVEL_M
    data.actuator(arm_model.GRIPPER_ACTUATOR).ctrl[0] = arm_model.FINGER_TRAVEL_M
    for _ in range(round(settle_s / model.opt.timestep)):
        mujoco.mj_step(model, data)
    mujoco.mj_forward(model, data)
    by_name = {item.name: k for k, item in enumerate(spec.objects)}
    names = [model.geom(g).name for g in range(model.ngeom)]
    owners = np.array([_geom_owner(n, by_name) for n in names], dtype=np.int64)
    return Scene(spec, model, data, owners, tuple(parts.get(n) for n in names))
