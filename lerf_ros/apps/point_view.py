# SPDX-License-Identifier: Apache-2.0
"""Pictures of a surface map: its points splatted from a virtual camera, with relevancy as heat, boxes and labels."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8
from PIL import Image, ImageDraw, ImageFont

from lerf_ros.apps.viewpoint import Viewpoint
from lerf_ros.core.extent import Extent
from lerf_ros.core.geometry import Intrinsics, invert, matrix_from_quaternion, transform_points
from lerf_ros.core.surface import SurfaceMap

PAPER = (250, 250, 251)
GROUND = (219, 223, 230)
INK = (28, 30, 36)
WHITE = (255, 255, 255)
FAINT = (120, 124, 134)
INKS = {"FOUND": (28, 122, 62), "AMBIGUOUS": (158, 104, 10), "STALE": (158, 104, 10), "NOT_FOUND": (176, 52, 44)}
"""Of notes, by status: the colours of the table."""

SMALLEST = 11
"""Size of letters, pixels, below which a text is cut instead."""

SUPERSAMPLE = 2
FILL = 1.25
"""Splat diameter / projected voxel: a little overlap closes the gaps between neighbours."""

BOX_EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))
LEGEND = "heat = probability x (relevancy above 0.5): what is absent stays grey"


def overview(
    points: Float32[np.ndarray, "N 3"], normals: Float32[np.ndarray, "N 3"], width: int, height: int
) -> Viewpoint:
    """Return a camera that holds nearly all points and sees the side of them that was mapped.

    What lies flat is seen from -x and above, as if from a robot's base; what stands, from where its normals point.
    """
    low, high = np.percentile(points, (2, 98), axis=0)
    target = np.median(points, axis=0).astype(np.float64)
    mean = normals.mean(axis=0, dtype=np.float64)
    mean /= np.linalg.norm(mean) + 1e-9
    if mean[2] > 0.5:
        azimuth, elevation = np.radians(205.0), np.radians(48.0)
        mean = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    # looking along z the world is no levelled one; a first camera's optical frame has y down
    up = np.array([0.0, 0.0, 1.0]) if abs(mean[2]) < 0.8 else np.array([0.0, -1.0, 0.0])
    back = mean
    right = np.cross(-back, up)
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(-back, right), -back], axis=1)
    inside = points[((points >= low) & (points <= high)).all(axis=1)]
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = turn, target + 2.5 * float(np.linalg.norm(high - low)) * back
    # the picture is cut to the points: focal length and centre follow from where they fall
    rays = transform_points(invert(T), inside.astype(np.float64))
    rays = rays[:, :2] / rays[:, 2:]
    near, far = rays.min(axis=0), rays.max(axis=0)
    focal = float(min(0.94 * width / (far[0] - near[0] + 1e-9), 0.9 * height / (far[1] - near[1] + 1e-9)))
    cx, cy = np.array([width, height]) / 2 - focal * (near + far) / 2
    return Viewpoint("overview", Intrinsics(width, height, focal, focal, float(cx), float(cy)), T)


def draw_points(
    view: Viewpoint, points: Float32[np.ndarray, "N 3"], colours: Float[np.ndarray, "N 3"], spacing_m: float
) -> UInt8[np.ndarray, "H W 3"]:
    """Return the points as discs of their spacing, nearest in front, on a pale ground."""
    k, s = view.intrinsics, SUPERSAMPLE
    uvz = view.project(points)
    seen = np.isfinite(uvz[:, 0]) & (uvz[:, 2] > 0)
    order = np.flatnonzero(seen)[np.argsort(-uvz[seen, 2])]
    u, v, z = uvz[order, 0] * s, uvz[order, 1] * s, uvz[order, 2]
    canvas = np.tile(np.array(GROUND, np.uint8), (k.height * s, k.width * s, 1))
    size = np.clip(FILL * spacing_m * k.fx * s / z / 2, 0.8, 12.0)
    reach = int(np.ceil(size.max(initial=1)))
    # all pixels of all discs, far points first: the last writer of a pixel is the nearest
    dy, dx = (a.ravel() for a in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    px = np.round(u[:, None] + dx).astype(np.int32)
    py = np.round(v[:, None] + dy).astype(np.int32)
    hit = (dx**2 + dy**2)[None] <= (size**2)[:, None]
    hit &= (px >= 0) & (px < k.width * s) & (py >= 0) & (py < k.height * s)
    row = np.nonzero(hit)[0]
    canvas[py[hit], px[hit]] = np.clip(colours[order[row]], 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(canvas, (k.width, k.height), interpolation=cv2.INTER_AREA))


def shaded(surface: SurfaceMap, colours: Float[np.ndarray, "N 3"]) -> Float64[np.ndarray, "N 3"]:
    """Return colours lit from above, so that shapes show."""
    light = np.array([-0.25, 0.2, 0.95])
    return np.asarray(colours * (0.72 + 0.28 * np.clip(surface.normals @ light, 0, 1))[:, None], np.float64)


def tinted(
    colours: Float[np.ndarray, "N 3"], heat: Float32[np.ndarray, " N"], strength: float = 0.92
) -> Float64[np.ndarray, "N 3"]:
    """Return 8-bit colours, pale and grey, with heat laid over."""
    base = np.repeat(150 + 0.38 * (colours @ (0.299, 0.587, 0.114))[:, None], 3, axis=1)
    alpha = np.clip(heat * 6, 0, strength)[:, None]
    return np.asarray((1 - alpha) * base + alpha * _turbo(heat), np.float64)


def _turbo(t: Float[np.ndarray, " N"]) -> Float64[np.ndarray, "N 3"]:
    """Return the turbo colour of values in [0, 1], from its blue on (its near-black start would look like shadow)."""
    index = np.round(255 * (0.12 + 0.83 * t)).astype(np.uint8)
    return cv2.applyColorMap(index[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1].astype(np.float64)


def mark(
    image: Image.Image, view: Viewpoint, extent: Extent | None, point: Float[np.ndarray, " 3"] | None,
    hollow: bool = False,
) -> None:  # fmt: skip
    """Draw a thing's box and its best point; a hollow mark: hidden, or not the best of several."""
    draw = ImageDraw.Draw(image)
    if extent is not None:
        turn = matrix_from_quaternion(*(float(q) for q in extent.quaternion))
        signs = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)])
        corners = view.project(extent.centre + signs * extent.size / 2 @ turn.T)[:, :2]
        if np.isfinite(corners).all():
            for colour, width in ((WHITE, 4), (INK, 2)):  # a pale rim: ink alone is lost on dark heat
                for a, b in BOX_EDGES:
                    draw.line([*corners[a], *corners[b]], fill=colour, width=width)
    if point is not None and view.frames(point[None])[0]:
        u, v, _ = view.project(point[None])[0]
        for radius, fill in ((8, INK), (6, WHITE), (3, WHITE if hollow else INK)):
            draw.ellipse([u - radius, v - radius, u + radius, v + radius], fill=fill)


def titled(
    picture: UInt8[np.ndarray, "H W 3"], title: str, note: str, ink: tuple[int, int, int] = FAINT, band: int = 62
) -> Image.Image:
    """Return the picture under a band with a title and a smaller note."""
    height, width = picture.shape[:2]
    image = Image.new("RGB", (width, height + band), PAPER)
    image.paste(Image.fromarray(picture), (0, band))
    draw = ImageDraw.Draw(image)
    _write(draw, (14, 10), title, width - 28, 24, INK)
    _write(draw, (14, 39), note, width - 28, 15, ink)
    return image


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int, size: int, ink: tuple[int, int, int]
) -> None:
    """Write a line of text, smaller where it is too long, and cut off where even that does not fit."""
    while size > SMALLEST and ImageFont.load_default(size).getlength(text) > width:
        size -= 1
    font = ImageFont.load_default(size)
    if font.getlength(text) > width:
        while text and font.getlength(text + "…") > width:
            text = text[:-1]
        text += "…"
    draw.text(at, text, fill=ink, font=font)


def sheet(panels: Sequence[Image.Image], caption: str, columns: int = 2) -> Image.Image:
    """Return the panels in rows, with a legend of the heat below."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    width, height = panels[0].size
    gap, foot = 16, 58
    page = Image.new("RGB", (columns * width + (columns + 1) * gap, rows * (height + gap) + gap + foot), PAPER)
    for k, panel in enumerate(panels):
        page.paste(panel, (gap + k % columns * (width + gap), gap + k // columns * (height + gap)))
    draw, top = ImageDraw.Draw(page), page.height - foot
    bar = np.broadcast_to(_turbo(np.linspace(0, 1, 220)).astype(np.uint8), (14, 220, 3))
    left = page.width - gap - 220
    page.paste(Image.fromarray(np.ascontiguousarray(bar)), (left, top + 8))
    small = ImageFont.load_default(13)
    draw.text((left, top + 26), "0", fill=FAINT, font=small)
    draw.text((left + 110, top + 26), "heat", fill=FAINT, font=small, anchor="ma")
    draw.text((left + 220, top + 26), "1", fill=FAINT, font=small, anchor="ra")
    _write(draw, (gap + 14, top + 10), caption, left - 4 * gap, 15, FAINT)
    return page
