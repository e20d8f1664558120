# SPDX-License-Identifier: Apache-2.0
"""Which pixels of an image show the robot: outlines of its convex shapes, padded, in the image of a pinhole camera.

A convex shape is the hull of balls of one radius. What it hides from a camera is the cone of rays that meet it, and the
cone of a hull is the hull of the balls' cones: a ball's is that of a disc, here a polygon around it. That cone is cut
by the four planes of the image's own frustum, in directions rather than in pixels, so that parts beside and behind the
camera need no care of their own. All is exact but for discs, whose polygons are up to 1 % (8 % with many balls) wider.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float64
from scipy.optimize import nnls

from lerf_ros.core.geometry import Intrinsics, invert, transform_points

SIDES, SIDES_OF_MANY = 24, 8
FEW = 2
ROUND = 24
"""Corners of a cylinder's rim."""

TOUCHING = 0.9
"""Of the distance to a shape; wider padding would swallow the camera."""

INSIDE_M = 1e-4
"""A camera as near as this to a shape lies in it."""

SUBPIXEL_BITS = 4
MARGIN_PX = 2.0
"""How far beyond the image outlines are cut."""


@dataclass(frozen=True, eq=False)
class Hull:
    """The convex hull of balls around `points` (metres, its own frame), all of `radius_m`."""

    points: Float64[np.ndarray, "N 3"]
    radius_m: float = 0.0

    @staticmethod
    def box(size_m: Sequence[float]) -> "Hull":
        """Return a box around the origin; `size_m` are whole sides."""
        corners = np.stack(np.meshgrid(*([-0.5, 0.5],) * 3), axis=-1).reshape(-1, 3)
        return Hull(corners * np.asarray(size_m, float))

    @staticmethod
    def sphere(radius_m: float) -> "Hull":
        """Return a ball around the origin."""
        return Hull(np.zeros((1, 3)), radius_m)

    @staticmethod
    def capsule(radius_m: float, length_m: float) -> "Hull":
        """Return a capsule along z; `length_m` is its straight part's."""
        return Hull(np.array([[0, 0, -length_m / 2], [0, 0, length_m / 2]]), radius_m)

    @staticmethod
    def cylinder(radius_m: float, length_m: float) -> "Hull":
        """Return a cylinder along z, its rim a polygon around the circle."""
        angle = np.arange(ROUND) * 2 * np.pi / ROUND
        wide = radius_m / np.cos(np.pi / ROUND)
        x, y = wide * np.cos(angle), wide * np.sin(angle)
        return Hull(np.concatenate([np.stack([x, y, np.full(ROUND, z)], 1) for z in (-length_m / 2, length_m / 2)]))


@dataclass(frozen=True)
class RobotMask:
    """What a camera sees of a robot.

    Attributes:
        robot: True on the robot.
        around_camera: indices of shapes that the camera itself lies in, which are left out: its own housing.
    """

    robot: Bool[np.ndarray, "H W"]
    around_camera: tuple[int, ...]


def robot_mask(
    shapes: Sequence[tuple[Hull, Float64[np.ndarray, "4 4"]]], camera: Intrinsics, padding_m: float
) -> RobotMask:
    """Return the pixels that show any of the shapes, each given with its `T_cam_shape` and padded by `padding_m`.

    Padding that would reach the camera is cut down to just less than that.
    """
    canvas = np.zeros((camera.height, camera.width), np.uint8)
    planes = _frustum(camera)
    around = []
    for index, (shape, T_cam_shape) in enumerate(shapes):
        centres = transform_points(T_cam_shape, shape.points)
        if _out_of_sight(centres, shape.radius_m + padding_m, planes):
            continue
        nearest = _nearest(centres)
        distance_m = float(np.linalg.norm(nearest))
        if distance_m * TOUCHING <= max(shape.radius_m, INSIDE_M):
            around.append(index)
            continue
        radius_m = min(shape.radius_m + padding_m, TOUCHING * distance_m)
        outline = _outline(centres, radius_m, nearest / distance_m)
        for plane in planes:
            outline = _cut(outline, plane)
        if len(outline) >= 3:
            _fill(canvas, outline, camera)
    return RobotMask(canvas.astype(bool), tuple(around))


def distance_m(shape: Hull, T_world_shape: Float64[np.ndarray, "4 4"], point: Float64[np.ndarray, "3"]) -> float:
    """Return how far a world point lies outside a shape, metres; 0 inside of the hull of its centres or its radius."""
    local = transform_points(invert(T_world_shape), point[None].astype(np.float64))
    return max(float(np.linalg.norm(_nearest(shape.points - local))) - shape.radius_m, 0.0)


def _nearest(points: Float64[np.ndarray, "N 3"]) -> Float64[np.ndarray, "3"]:
    """Return the point of the hull of `points` that is nearest to the origin (0 if the origin lies inside).

    Least squares with weights >= 0: of |P w|^2 + (sum(w) - 1)^2 the best w is, but for its length, the nearest point's
    (Lawson and Hanson 1974, chapter 23).
    """
    if len(points) == 1:
        return np.asarray(points[0])
    unit = max(float(np.abs(points).max()), 1e-9)
    system = np.concatenate([points.T / unit, np.ones((1, len(points)))])
    weights, _ = nnls(system, np.array([0.0, 0.0, 0.0, 1.0]))
    return np.asarray(points.T @ weights / max(float(weights.sum()), 1e-12))


def _frustum(camera: Intrinsics) -> Float64[np.ndarray, "4 3"]:
    """Return inward unit normals of the four planes through the camera and the image's borders, with a margin."""
    left, top = (-MARGIN_PX - camera.cx) / camera.fx, (-MARGIN_PX - camera.cy) / camera.fy
    right = (camera.width - 1 + MARGIN_PX - camera.cx) / camera.fx
    bottom = (camera.height - 1 + MARGIN_PX - camera.cy) / camera.fy
    normals = np.array([[1, 0, -left], [-1, 0, right], [0, 1, -top], [0, -1, bottom]], float)
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True))


def _out_of_sight(
    centres: Float64[np.ndarray, "N 3"], radius_m: float, planes: Float64[np.ndarray, "4 3"]
) -> bool:
    """Return whether all balls lie beyond one of the planes."""
    return bool((centres @ planes.T < -radius_m).all(axis=0).any())


def _outline(
    centres: Float64[np.ndarray, "N 3"], radius_m: float, towards: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, "K 3"]:
    """Return corners, in order, of the cone of rays to the balls; all lie on one side of the plane across `towards`."""
    rays = centres
    if radius_m > 0:
        sides = SIDES if len(centres) <= FEW else SIDES_OF_MANY
        squared = (centres**2).sum(axis=1, keepdims=True)
        squared = np.maximum(squared, (radius_m / TOUCHING) ** 2)  # as it is, but for rounding
        share = 1 - radius_m**2 / squared  # the circle where rays touch the ball: nearer than its centre, and smaller
        across = radius_m * np.sqrt(share) / np.cos(np.pi / sides)
        x, y = _axes(centres / np.sqrt(squared))
        angle = np.arange(sides) * 2 * np.pi / sides
        rim = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
        rays = (centres * share + across * rim).reshape(-1, 3)
    depth = rays @ towards
    x, y = _axes(towards[None])
    flat = (np.concatenate([rays @ x.T, rays @ y.T], axis=1) / depth[:, None]).astype(np.float32)
    corners = cv2.convexHull(flat, returnPoints=False)
    return np.asarray(rays[corners[:, 0]])


def _axes(
    directions: Float64[np.ndarray, "N 3"],
) -> tuple[Float64[np.ndarray, "N 3"], Float64[np.ndarray, "N 3"]]:
    """Return two unit vectors across each unit vector and each other (Duff et al., JCGT 2017)."""
    x, y, z = directions.T
    sign = np.where(z < 0, -1.0, 1.0)
    a = -1.0 / (sign + z)
    b = x * y * a
    first = np.stack([1 + sign * x * x * a, sign * b, -sign * x], axis=1)
    return first, np.stack([b, sign + y * y * a, -y], axis=1)


def _cut(corners: Float64[np.ndarray, "K 3"], plane: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "M 3"]:
    """Return the part of a convex cone on the inner side of a plane through its tip (Sutherland and Hodgman 1974)."""
    if not len(corners):
        return corners
    height = corners @ plane
    if (height >= 0).all():
        return corners
    kept = []
    for k in range(len(corners)):
        a, b = height[k - 1], height[k]
        if (a >= 0) != (b >= 0):
            kept.append((corners[k - 1] * b - corners[k] * a) / (b - a))
        if b >= 0:
            kept.append(corners[k])
    return np.array(kept).reshape(-1, 3)


def _fill(canvas: np.ndarray, corners: Float64[np.ndarray, "K 3"], camera: Intrinsics) -> None:
    """Draw a cone that lies within the image's frustum."""
    z = np.maximum(corners[:, 2], 1e-12)
    u, v = corners[:, 0] / z * camera.fx + camera.cx, corners[:, 1] / z * camera.fy + camera.cy
    pixels = np.rint(np.stack([u, v], axis=1) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillConvexPoly(canvas, pixels, 1, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)
