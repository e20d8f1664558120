# SPDX-License-Identifier: Apache-2.0
"""The sixteen categories: each maker adds one object's geoms and returns the radius of its footprint in metres."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from lerf_ros.sim.appearance import jittered, printed_texture
from lerf_ros.sim.catalog import Rgb
from lerf_ros.sim.mjcf import ObjectBuilder
from lerf_ros.sim.shapes import Profile, arc, lathe, textured_box

_STEEL_SPECULAR = 0.8


def _steel(b: ObjectBuilder) -> str:
    grey = b.rng.uniform(0.55, 0.75)
    return b.paint((grey, grey, grey), _STEEL_SPECULAR)


def _scaled(profile: Profile, scale: float) -> Profile:
    return [(r * scale, z * scale) for r, z in profile]


def _mug(b: ObjectBuilder, _: str | None) -> float:
    radius, height, wall = b.rng.uniform(0.032, 0.036), b.rng.uniform(0.075, 0.095), 0.004
    inside = radius - wall
    profile = [(0, 0), (radius, 0), (radius, height), (inside, height), (inside, wall), (0, wall)]
    b.mesh(lathe(profile), mass_kg=0.12)
    b.tube(arc(radius, height * 0.52, height * 0.32, -1.45, 1.45, 7), 0.006, part="handle")
    return radius + 0.035


def _bowl(b: ObjectBuilder, _: str | None) -> float:
    k = b.rng.uniform(0.85, 1.05)
    outer: Profile = [(0, 0), (0.03, 0), (0.055, 0.02), (0.07, 0.045), (0.077, 0.065)]
    inner: Profile = [(0.072, 0.065), (0.064, 0.045), (0.05, 0.024), (0.028, 0.008), (0, 0.008)]
    b.mesh(lathe(_scaled(outer + inner, k)), mass_kg=0.12, solid=False)
    b.primitive("cylinder", (0.03 * k, 0.004 * k), (0, 0, 0.004 * k), extra='group="3"')
    for low, high in ((outer[1], outer[2]), (outer[2], outer[3]), (outer[3], outer[4])):
        b.wall((low[0] * k, low[1] * k), (high[0] * k, high[1] * k), 0.005)
    return 0.077 * k


def _plate(b: ObjectBuilder, _: str | None) -> float:
    profile: Profile = [(0, 0), (0.055, 0), (0.095, 0.016), (0.095, 0.02), (0.055, 0.006), (0, 0.006)]
    k = b.rng.uniform(0.85, 1.05)
    b.mesh(lathe(_scaled(profile, k), 36), mass_kg=0.15)
    return 0.095 * k


def _bottle(b: ObjectBuilder, _: str | None) -> float:
    k, radius = b.rng.uniform(0.85, 1.0), b.rng.uniform(0.027, 0.033)
    top = 0.18 * k
    profile = [(0, 0), (radius, 0), (radius, 0.12 * k), (0.026, 0.14 * k), (0.013, 0.16 * k), (0.013, top), (0, top)]
    b.mesh(lathe(profile), mass_kg=0.15)
    cap = b.paint(jittered(b.rng, str(b.rng.choice(["white", "black", "gray"]))))
    b.primitive("cylinder", (0.0155, 0.011), (0, 0, top + 0.005), material=cap, part="cap")
    return radius


def _can(b: ObjectBuilder, _: str | None) -> float:
    r, half, steel = 0.033, b.rng.uniform(0.045, 0.058), _steel(b)
    b.primitive("cylinder", (r, half * 0.86), (0, 0, half), extra='mass="0.15"')
    b.mesh(lathe([(0, 0), (r * 0.9, 0), (r, half * 0.14), (0, half * 0.14)]), mass_kg=0.02, material=steel)
    rim = [(0, half * 1.86), (r, half * 1.86), (r * 0.88, 2 * half), (r * 0.8, 2 * half), (r * 0.8, 2 * half - 0.004)]
    b.mesh(lathe([*rim, (0, 2 * half - 0.004)]), mass_kg=0.02, material=steel)
    return r


def _banana(b: ObjectBuilder, _: str | None) -> float:
    thickness, bend = (0.007, 0.013, 0.016, 0.017, 0.016, 0.012, 0.005), 0.1
    path = [(bend * math.cos(t) - bend, bend * math.sin(t), 0.017) for t in np.linspace(-0.85, 0.85, 8)]
    for start, end, radius in zip(path[:-1], path[1:], thickness, strict=True):
        b.capsule(start, end, radius)
    b.primitive("sphere", (0.006,), path[-1], material=b.paint((0.2, 0.13, 0.05)))
    return 0.09


def _apple(b: ObjectBuilder, _: str | None) -> float:
    r = b.rng.uniform(0.031, 0.036)
    profile: Profile = [(0, 0.12), (0.45, 0), (0.85, 0.35), (1, 1), (0.9, 1.5), (0.5, 1.8), (0.2, 1.74), (0, 1.6)]
    b.mesh(lathe(_scaled(profile, r)), mass_kg=0.15)
    b.capsule((0, 0, r * 1.6), (0.006, 0, r * 2.1), 0.003, material=b.paint((0.3, 0.18, 0.08)))
    b.primitive("ellipsoid", (0.013, 0.006, 0.002), (0.016, 0, r * 2.05), material=b.paint((0.15, 0.5, 0.1)))
    return r


def _book(b: ObjectBuilder, _: str | None) -> float:
    x, y, z = b.rng.uniform(0.055, 0.07), b.rng.uniform(0.08, 0.1), b.rng.uniform(0.012, 0.02)
    b.primitive("box", (x * 0.96, y * 0.96, z * 0.85), (0.003, 0, z), material=b.paint((0.93, 0.9, 0.82), 0.05))
    for height in (0.0015, 2 * z - 0.0015):
        b.primitive("box", (x, y, 0.0015), (0, 0, height))
    b.primitive("box", (0.002, y, z), (-x, 0, z))
    title = b.paint(jittered(b.rng, str(b.rng.choice(["white", "black", "yellow"]))))
    b.primitive("box", (x * 0.6, 0.008, 0.0004), (0, y * 0.45, 2 * z), material=title)
    b.primitive("box", (x * 0.4, 0.004, 0.0004), (0, y * 0.2, 2 * z), material=title)
    return math.hypot(x, y)


def _box(b: ObjectBuilder, word: str | None) -> float:
    half = (b.rng.uniform(0.026, 0.036), b.rng.uniform(0.028, 0.048), b.rng.uniform(0.03, 0.06))
    material = b.body_material
    if word:
        print_name = b.assets.texture(printed_texture(word, b.rgb))
        material = b.assets.material((1, 1, 1), specular=0.1, shininess=0.3, texture=print_name)
    b.mesh(textured_box(half), mass_kg=0.15, at=(0, 0, half[2]), material=material)
    return math.hypot(half[0], half[1])


def _screwdriver(b: ObjectBuilder, _: str | None) -> float:
    b.capsule((-0.07, 0, 0.014), (0, 0, 0.014), 0.014, part="handle")
    b.capsule((0, 0, 0.014), (0.1, 0, 0.014), 0.0035, material=_steel(b))
    return 0.1


def _hammer(b: ObjectBuilder, _: str | None) -> float:
    b.capsule((-0.1, 0, 0.014), (0.08, 0, 0.014), 0.011, part="handle")
    dark = b.paint((0.3, 0.3, 0.32), _STEEL_SPECULAR)
    b.geom('type="cylinder" fromto="0.085 -0.045 0.016 0.085 0.02 0.016" size="0.016"', material=dark, part="head")
    b.primitive("box", (0.01, 0.022, 0.012), (0.085, 0.038, 0.016), material=dark, part="head")
    return 0.12


def _duck(b: ObjectBuilder, _: str | None) -> float:
    b.primitive("ellipsoid", (0.045, 0.032, 0.03), (0, 0, 0.028))
    b.primitive("ellipsoid", (0.02, 0.012, 0.014), (-0.042, 0, 0.043), extra='euler="0 0.7 0"')
    b.primitive("cylinder", (0.026, 0.004), (0, 0, 0.004), extra='group="3" mass="0.03"')
    b.primitive("sphere", (0.025,), (0.028, 0, 0.07), material=b.body_material, part="head")
    orange: Rgb = (0.95, 0.4, 0.02)
    orangish = float(np.abs(np.subtract(b.rgb, orange)).max()) < 0.2
    bill = b.paint((0.9, 0.8, 0.1) if orangish else orange)
    b.primitive("ellipsoid", (0.014, 0.012, 0.004), (0.056, 0, 0.067), material=bill, part="head")
    eyes = b.paint((0.02, 0.02, 0.02))
    for side in (0.013, -0.013):
        b.primitive("sphere", (0.004,), (0.047, side, 0.079), material=eyes, part="head")
    return 0.06


def _ball(b: ObjectBuilder, _: str | None) -> float:
    r = b.rng.uniform(0.028, 0.036)
    b.primitive("sphere", (r,), (0, 0, r))
    return r


def _spoon(b: ObjectBuilder, _: str | None) -> float:
    b.primitive("ellipsoid", (0.032, 0.023, 0.006), (0.075, 0, 0.008))
    shade: Rgb = (b.rgb[0] * 0.7, b.rgb[1] * 0.7, b.rgb[2] * 0.7)
    b.primitive("ellipsoid", (0.025, 0.017, 0.004), (0.075, 0, 0.0105), material=b.paint(shade))
    b.capsule((-0.085, 0, 0.009), (0.048, 0, 0.008), 0.0055, material=b.body_material, part="handle")
    return 0.11


def _teapot(b: ObjectBuilder, _: str | None) -> float:
    r = 0.052
    b.mesh(lathe(_scaled([(0, 0), (0.7, 0), (1, 0.5), (1.02, 0.8), (0.8, 1.3), (0.4, 1.5), (0, 1.5)], r)), mass_kg=0.2)
    knob: Profile = [(0, r * 1.45), (r * 0.42, r * 1.5), (r * 0.25, r * 1.62), (0.008, r * 1.65), (0.011, r * 1.8)]
    b.mesh(lathe([*knob, (0, r * 1.88)]), mass_kg=0.02, part="lid")
    b.tube(arc(-r * 0.9, r * 0.8, r * 0.55, 1.3, 5, 7), 0.006, part="handle")
    b.capsule((r * 0.85, 0, r * 0.6), (r * 1.65, 0, r * 1.35), 0.01, material=b.body_material, part="spout")
    return 0.09


def _pan(b: ObjectBuilder, _: str | None) -> float:
    r, depth = b.rng.uniform(0.075, 0.085), 0.035
    outer: Profile = [(0, 0), (r * 0.8, 0), (r, depth)]
    b.mesh(lathe([*outer, (r - 0.004, depth), (r * 0.8 - 0.003, 0.005), (0, 0.005)]), mass_kg=0.18, solid=False)
    b.primitive("cylinder", (r * 0.78, 0.001), (0, 0, 0.005), material=b.paint((0.16, 0.16, 0.17), 0.2))
    b.primitive("cylinder", (r * 0.8, 0.0025), (0, 0, 0.0025), extra='group="3" mass="0.02"')
    b.wall(outer[1], outer[2], 0.005)
    b.capsule((r - 0.002, 0, 0.03), (r + 0.115, 0, 0.043), 0.008, part="handle")
    return 0.15


MAKERS: Final[dict[str, Callable[[ObjectBuilder, str | None], float]]] = {
    "mug": _mug,
    "bowl": _bowl,
    "plate": _plate,
    "bottle": _bottle,
    "can": _can,
    "banana": _banana,
    "apple": _apple,
    "book": _book,
    "box": _box,
    "screwdriver": _screwdriver,
    "hammer": _hammer,
    "duck": _duck,
    "ball": _ball,
    "spoon": _spoon,
    "teapot": _teapot,
    "pan": _pan,
}
