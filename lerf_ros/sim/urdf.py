# SPDX-License-Identifier: Apache-2.0
"""The simulated arm's robot description: links, joints and shapes, from the very text that MuJoCo builds it from."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache

import numpy as np
from jaxtyping import Float64

from lerf_ros.sim import arm_model
from lerf_ros.sim.scene import DEFAULT_FOVY_DEG

BASE_LINK = "base_link"

def robot_description() -> str:
    """Return the arm as URDF. Poses are metres and radians; a capsule is a cylinder and two spheres, as URDF has none.

    Its base is `base_link`; link names are those of the bodies, so that transforms of either mean the same.
    """
    robot = ET.Element("robot", name="sim_arm")
    _add_body(robot, _arm(), BASE_LINK)
    ET.indent(robot)
    return ET.tostring(robot, encoding="unicode")


def finger_poses(positions_m: Float64[np.ndarray, "2"]) -> dict[str, Float64[np.ndarray, "4 4"]]:
    """Return `T_link6_finger` of both fingers at their joint positions."""
    poses = {}
    for (name, place, axis), position_m in zip(_fingers(), positions_m, strict=True):
        poses[name] = np.eye(4)
        poses[name][:3, 3] = place + axis * position_m
    return poses


@cache
def _fingers() -> tuple[tuple[str, Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]], ...]:
    """Return name, place and axis of both fingers in the last link, in the order of `arm_model.FINGERS`."""
    bodies = {}
    for body in _arm().iter("body"):
        joint = body.find("joint")
        if joint is not None:
            bodies[joint.get("name", "")] = (body, joint)
    return tuple(
        (body.get("name", ""), _numbers(body.get("pos", "0 0 0")), _numbers(joint.get("axis", "0 0 1")))
        for body, joint in map(bodies.__getitem__, arm_model.FINGERS)
    )


def _arm() -> ET.Element:
    return ET.fromstring(arm_model.body_xml(DEFAULT_FOVY_DEG))


def _add_body(robot: ET.Element, body: ET.Element, name: str) -> None:
    link = ET.SubElement(robot, "link", name=name)
    for geom in body.findall("geom"):
        for tag, sizes, place in _shapes(geom):
            collision = ET.SubElement(link, "collision")
            ET.SubElement(collision, "origin", {"xyz": _text(place), "rpy": "0 0 0"})
            ET.SubElement(ET.SubElement(collision, "geometry"), tag, sizes)
    for child in body.findall("body"):
        child_name = child.get("name", "")
        _add_joint(robot, child, name, child_name)
        _add_body(robot, child, child_name)


def _add_joint(robot: ET.Element, body: ET.Element, parent: str, child: str) -> None:
    source = body.find("joint")
    assert source is not None, f"{child} is welded to {parent}"
    finger = source.get("name") in arm_model.FINGERS
    joint = ET.SubElement(robot, "joint", name=source.get("name", ""), type="prismatic" if finger else "revolute")
    ET.SubElement(joint, "parent", link=parent)
    ET.SubElement(joint, "child", link=child)
    ET.SubElement(joint, "origin", {"xyz": body.get("pos", "0 0 0"), "rpy": "0 0 0"})
    ET.SubElement(joint, "axis", xyz=source.get("axis", "0 0 1"))
    low, high = (source.get("range") or f"0 {arm_model.FINGER_TRAVEL_M}").split()
    ET.SubElement(joint, "limit", lower=low, upper=high, effort="100", velocity="2")


def _shapes(geom: ET.Element) -> Iterator[tuple[str, dict[str, str], Float64[np.ndarray, "3"]]]:
    """Yield URDF shapes of an MJCF geom: tag, sizes, place. MJCF has half sizes; capsules, along z, have two ends."""
    size, place = _numbers(geom.get("size", "")), _numbers(geom.get("pos", "0 0 0"))
    match geom.get("type", "box"):
        case "box":
            yield "box", {"size": _text(2 * size)}, place
        case "sphere":
            yield "sphere", {"radius": _text(size)}, place
        case "cylinder":
            yield "cylinder", {"radius": _text(size[:1]), "length": _text(2 * size[1:])}, place
        case "capsule":
            ends = _numbers(geom.get("fromto", "")).reshape(2, 3)
            yield "cylinder", {"radius": _text(size), "length": _text(np.ptp(ends[:, 2:], axis=0))}, ends.mean(axis=0)
            for end in ends:
                yield "sphere", {"radius": _text(size)}, end


def _numbers(text: str) -> Float64[np.ndarray, " N"]:
    return np.array([float(word) for word in text.split()])


def _text(values: Float64[np.ndarray, " N"]) -> str:
    return " ".join(f"{v:.9g}" for v in values)
