# SPDX-License-Identifier: Apache-2.0
"""Heat of a phrase over a camera image: surface points splatted through a z-buffer, then blended over the colours."""

from typing import Final, no_type_check

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numba import njit

from lerf_ros.core.geometry import Intrinsics, invert
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.standing import Relevancy
from lerf_ros.core.surface import SurfaceMap

FILL: Final = 1.5
"""Splat diameter / projected voxel: neighbours overlap, so that what lies behind a surface does not show through."""

MAX_RADIUS_PX: Final = 40.0
NEAREST_M: Final = 0.02

NEUTRAL: Final = 0.5
"""Relevancy of what fits no better than 'object', 'things', ..."""

ELSEWHERE_M: Final = 0.03
"""Where the camera measures a depth that differs by more from the map's, something else is there: it gets no heat."""

GREY: Final = 0.75
"""Share of colour taken out of the image, so that the heat's colours are the only ones that catch the eye."""

STRONGEST: Final = 0.8
"""Heat hides the image by this much at most: what glows can still be recognised."""

SPECKS_PX: Final = 5
"""Side of the median that takes out what single wrong depths (at edges, mostly) leave behind."""

_WARM: Final = 0.25
"""Heat from which the overlay is at its strongest."""


def heat_of(relevancy: Float32[np.ndarray, "*N"], probability: float) -> Float32[np.ndarray, "*N"]:
    """Return heat in [0, 1]: how far relevancy is above the neutral 0.5, times the probability that the thing is there.

    Nothing is stretched to the query's own maximum (the paper's figures are), or what is absent would glow, too.
    """
    return np.asarray(probability * np.clip((relevancy - NEUTRAL) / (1 - NEUTRAL), 0, 1), np.float32)


def splatted(
    points: Float32[np.ndarray, "N 3"],
    values: Float32[np.ndarray, " N"],
    spacing_m: float,
    camera: Intrinsics,
    T_world_cam: Float64[np.ndarray, "4 4"],
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """Return what a camera sees of surface points: z-depth (m; 0 where there is none) and their values (0 there).

    Each point is a disc as large as the spacing of the points; the nearest one of a pixel is seen.

    Args:
        points: of all surfaces, for they hide each other; world frame, metres.
        values: one a point.
        spacing_m: of the points.
        camera: the image to make.
        T_world_cam: its pose, optical axes.
    """
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    value = np.zeros_like(depth)
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    _splat(points, values, invert(T_world_cam), lens, 0.5 * FILL * spacing_m, depth, value)
    depth[np.isinf(depth)] = 0
    return depth, value


def only_where(
    value: Float32[np.ndarray, "H W"], depth_m: Float32[np.ndarray, "H W"], measured_m: Float32[np.ndarray, "H W"]
) -> Float32[np.ndarray, "H W"]:
    """Return the values, 0 where the camera itself measures something nearer or farther than the map's surface."""
    known = np.isfinite(measured_m) & (measured_m > 0)
    return np.where(known & (np.abs(measured_m - depth_m) > ELSEWHERE_M), np.float32(0), value)


def blended(rgb: UInt8[np.ndarray, "H W 3"], heat: Float32[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Return the image, nearly grey, under its heat (in [0, 1]) in colours whose lightness grows with it (inferno)."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    base = GREY * grey + (1 - GREY) * rgb
    alpha = STRONGEST * np.clip(heat / _WARM, 0, 1)[..., None]
    return np.asarray(np.rint((1 - alpha) * base + alpha * colours(heat)), np.uint8)


def colours(heat: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W 3"]:
    """Return the colour (0 to 255) of heat in [0, 1]: inferno, without its black beginning, which would pass for shade.
    """
    index = np.rint(255 * (0.25 + 0.75 * np.clip(heat, 0, 1))).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(index, cv2.COLORMAP_INFERNO)[..., ::-1], np.float32)


def live_heat(image: PosedImage, surface: SurfaceMap, found: Relevancy) -> Float32[np.ndarray, "H W"]:
    """Return the heat of a phrase in each pixel, where the image shows the map's surface and not the robot itself."""
    values = np.zeros(len(surface), np.float32)
    values[found.rows] = heat_of(found.values, found.probability)
    depth_m, heat = splatted(surface.points, values, surface.voxel_m, image.intrinsics, image.T_world_cam)
    if image.depth_m is not None:
        heat = only_where(heat, depth_m, image.depth_m)
    if image.mask is not None:
        heat = np.where(image.mask, heat, np.float32(0))
    return np.asarray(cv2.medianBlur(heat, SPECKS_PX), np.float32)


@njit(nogil=True, cache=True)
@no_type_check
def _splat(
    points: np.ndarray, values: np.ndarray, T_cam_world: np.ndarray, lens: np.ndarray, radius_m: float,
    depth: np.ndarray, value: np.ndarray,
) -> None:  # fmt: skip
    height, width = depth.shape
    T = T_cam_world
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        zc = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
        if zc < NEAREST_M:
            continue
        u = (T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]) / zc * lens[0] + lens[2]
        v = (T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]) / zc * lens[1] + lens[3]
        r = min(max(radius_m * lens[0] / zc, 0.5), MAX_RADIUS_PX)
        if u + r < 0 or v + r < 0 or u - r > width - 1 or v - r > height - 1:
            continue
        near = np.float32(zc)
        for py in range(max(int(np.ceil(v - r)), 0), min(int(np.floor(v + r)), height - 1) + 1):
            reach = np.sqrt(max(r * r - (py - v) ** 2, 0.0))
            for px in range(max(int(np.ceil(u - reach)), 0), min(int(np.floor(u + reach)), width - 1) + 1):
                if near < depth[py, px]:
                    depth[py, px] = near
                    value[py, px] = values[i]
