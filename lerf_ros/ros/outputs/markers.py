# SPDX-License-Identifier: Apache-2.0
"""What RViz draws of a map: the workspace, where keyframes were taken, stale surface, found things, ways to grasp them.

Everything is in the world frame, with stamp 0 (it holds whenever it is shown) and no end of life; each array begins by
deleting what came before it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from geometry_msgs.msg import Point, Pose, Vector3
from jaxtyping import Float
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from lerf_ros.config import GraspConfig, WorkspaceConfig
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.standing import evenly
from lerf_ros.msg import GraspTarget, QueryResult
from lerf_ros.ros.outputs.wires import BOX_EDGES, box_corners, box_triangles, frustum_lines

FRUSTUM_M: Final = 0.05
LINE_M: Final = 0.002
TEXT_M: Final = 0.03
PALM_M: Final = 0.02
MAX_STALE: Final = 2000
"""Cubes drawn of stale surface."""

COLOURS: Final = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (86, 180, 233),
                  (240, 228, 66), (150, 150, 150))  # fmt: skip
"""Of prompts, in turn (Okabe and Ito: told apart by the colour-blind, too)."""

GREY: Final = (128, 128, 128)
STALE: Final = (230, 20, 20)
SHOWN: Final = (QueryResult.FOUND, QueryResult.AMBIGUOUS, QueryResult.STALE)


def clear(frame_id: str) -> MarkerArray:
    """Return what takes away everything."""
    gone = Marker(action=Marker.DELETEALL)
    gone.header.frame_id = frame_id
    return MarkerArray(markers=[gone])


def marker_array(
    snapshot: FieldSnapshot, results: Sequence[QueryResult], workspace: WorkspaceConfig, gripper: GraspConfig
) -> MarkerArray:
    """Return all markers of one map.

    Args:
        snapshot: of the map.
        results: answers to the standing prompts, in order, in the frame of the map.
        workspace: the box that is mapped.
        gripper: drawn at each target.
    """
    every = clear(snapshot.frame_id)
    box = _lines("workspace", box_corners(workspace.min_m, workspace.max_m)[BOX_EDGES.ravel()], GREY, 0.8)
    every.markers += [box, *_keyframes(snapshot), *_stale(snapshot)]
    for n, result in enumerate(results):
        if result.status in SHOWN:
            every.markers += _answer(n, result, gripper)
    for marker in every.markers:
        marker.header.frame_id = snapshot.frame_id
    return every


def _keyframes(snapshot: FieldSnapshot) -> list[Marker]:
    poses, cameras = (snapshot.weights.get(f"keyframes.{name}") for name in ("T_world_cam", "intrinsics"))
    if poses is None or cameras is None or not len(poses):
        return []
    lines = [
        frustum_lines(Intrinsics(int(w), int(h), fx, fy, cx, cy), pose, FRUSTUM_M)
        for pose, (fx, fy, cx, cy, w, h) in zip(poses, cameras, strict=True)
    ]
    return [_lines("keyframes", np.concatenate(lines), (90, 130, 200), 0.6, LINE_M / 2)]


def _stale(snapshot: FieldSnapshot) -> list[Marker]:
    rows = evenly(np.flatnonzero(snapshot.surface.stale), MAX_STALE)
    if not len(rows):
        return []
    side = 1.5 * snapshot.surface.voxel_m
    cubes = _marker("stale", 0, Marker.CUBE_LIST, STALE, 0.6, (side, side, side))
    cubes.points = _points(snapshot.surface.points[rows])
    return [cubes]


def _answer(n: int, result: QueryResult, gripper: GraspConfig) -> list[Marker]:
    """Return the boxes of all that match, a label at the best of them, and the ways to grasp it."""
    colour = COLOURS[n % len(COLOURS)]
    made = []
    for k, each in enumerate(result.instances):
        box = _marker("extents", 100 * n + k, Marker.CUBE, colour, 0.3 if k == 0 else 0.15, each.extent_size)
        box.pose = each.extent_pose
        made.append(box)
    made.append(_label(n, result, colour))
    for k, target in enumerate(result.targets):
        made += _target(100 * n + k, target, gripper, colour, 0.9 if k == 0 else 0.3)
    return made


def _label(n: int, result: QueryResult, colour: tuple[int, int, int]) -> Marker:
    text = _marker("labels", n, Marker.TEXT_VIEW_FACING, colour, 1.0, (0.0, 0.0, TEXT_M))
    note = "" if result.status == QueryResult.FOUND else {
        QueryResult.AMBIGUOUS: f", 1 of {len(result.instances)}", QueryResult.STALE: ", STALE",
    }[result.status]  # fmt: skip
    text.text = f"{result.prompt} {result.probability:.2f}{note}"
    at = result.extent_pose.position
    text.pose.position = Point(x=at.x, y=at.y, z=at.z + result.extent_size.z / 2 + TEXT_M)
    return text


def _target(
    number: int, target: GraspTarget, gripper: GraspConfig, colour: tuple[int, int, int], alpha: float
) -> list[Marker]:
    """Return the way from the pregrasp to the tool centre point as an arrow (along z), and the gripper there."""
    arrow = _marker("targets", number, Marker.ARROW, colour, alpha, (0.006, 0.012, 0.015))
    arrow.points = [Point(z=-float(target.pregrasp_distance_m)), Point()]
    hand = _marker("grippers", number, Marker.TRIANGLE_LIST, colour, 0.7 * alpha, (1.0, 1.0, 1.0))
    hand.points = _points(_gripper(target.width_m, gripper))
    arrow.pose = hand.pose = target.pose
    return [arrow, hand]


def _gripper(width_m: float, gripper: GraspConfig) -> Float[np.ndarray, "108 3"]:
    """Return triangles of two fingers and a palm, in the frame of the tool: z = approach, y = closing axis."""
    tip = gripper.tip_beyond_tcp_m
    root, inner = tip - gripper.finger_depth_m, width_m / 2
    outer, x = inner + gripper.finger_thickness_m, gripper.finger_width_m / 2
    boxes = (
        ((-x, inner, root), (x, outer, tip)),
        ((-x, -outer, root), (x, -inner, tip)),
        ((-x, -outer, root - PALM_M), (x, outer, root)),
    )
    return np.concatenate([box_triangles(low, high) for low, high in boxes])


def _lines(
    namespace: str, ends: Float[np.ndarray, "E 3"], colour: tuple[int, int, int], alpha: float, width_m: float = LINE_M
) -> Marker:
    """Return lines between every two points."""
    lines = _marker(namespace, 0, Marker.LINE_LIST, colour, alpha, (width_m, 0.0, 0.0))
    lines.points = _points(ends)
    return lines


def _marker(
    namespace: str, number: int, kind: int, colour: tuple[int, int, int], alpha: float,
    scale: tuple[float, float, float] | Vector3,
) -> Marker:  # fmt: skip
    r, g, b = (c / 255 for c in colour)
    size = scale if isinstance(scale, Vector3) else Vector3(**dict(zip("xyz", scale, strict=True)))
    made = Marker(ns=namespace, id=number, type=kind, action=Marker.ADD, scale=size, pose=Pose())
    made.color = ColorRGBA(r=r, g=g, b=b, a=alpha)
    return made


def _points(xyz: Float[np.ndarray, "N 3"]) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in xyz.astype(np.float64).tolist()]
