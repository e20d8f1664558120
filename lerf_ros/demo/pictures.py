# SPDX-License-Identifier: Apache-2.0
"""Pictures a person understands: the camera's view, the heat of a phrase over it, what was cut out."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from lerf_ros.core.geometry import Intrinsics

Image = UInt8[np.ndarray, "H W 3"]
FONT = cv2.FONT_HERSHEY_DUPLEX
INK, PAPER, GOOD, BAD = (30, 30, 30), (250, 250, 250), (30, 120, 50), (170, 40, 40)


@dataclass(frozen=True)
class Heat:
    """The relevancy of one phrase, in the frame of the camera it is drawn over."""

    phrase: str
    status: str
    probability: float
    points_cam: Float32[np.ndarray, "N 3"]
    relevancy: Float32[np.ndarray, " N"]
    argmax_cam: Float32[np.ndarray, " 3"] | None


def heat_over(rgb: Image, intrinsics: Intrinsics, heat: Heat) -> Image:
    """Return the camera's view, dimmed, with the phrase's points in turbo colours and its best point ringed."""
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    out = (0.55 * grey + 0.25 * rgb + 40).clip(0, 255).astype(np.uint8)
    layer, touched = np.zeros(rgb.shape[:2], np.float32), np.zeros(rgb.shape[:2], np.uint8)
    if len(heat.points_cam):
        u, v, z = intrinsics.project(heat.points_cam.astype(np.float64))
        for i in np.argsort(heat.relevancy):
            if z[i] > 0 and 0 <= u[i] < intrinsics.width and 0 <= v[i] < intrinsics.height:
                centre, radius = (int(u[i]), int(v[i])), max(2, int(0.0045 * intrinsics.fx / z[i]))
                cv2.circle(layer, centre, radius, float(heat.relevancy[i]), -1)
                cv2.circle(touched, centre, radius, 1, -1)
        span = max(float(heat.relevancy.max()) - 0.5, 1e-3)
        index = (255 * np.clip((layer - 0.5) / span, 0.0, 1.0)).astype(np.uint8)
        turbo = cv2.applyColorMap(index, cv2.COLORMAP_TURBO)[..., ::-1]
        mask = touched.astype(bool)
        out[mask] = (0.2 * out[mask] + 0.8 * turbo[mask]).astype(np.uint8)
    if heat.argmax_cam is not None:
        u, v, _ = intrinsics.project(heat.argmax_cam[None].astype(np.float64))
        if np.isfinite(u[0]) and np.isfinite(v[0]):
            cv2.circle(out, (int(u[0]), int(v[0])), 13, PAPER, 4, cv2.LINE_AA)
            cv2.circle(out, (int(u[0]), int(v[0])), 13, INK, 2, cv2.LINE_AA)
    found = heat.status == "FOUND"
    return captioned(out, f'"{heat.phrase}"', f"{heat.status}  p = {heat.probability:.2f}", GOOD if found else BAD)


def captioned(rgb: Image, title: str, note: str = "", colour: tuple[int, int, int] = INK) -> Image:
    """Return the picture under a strip with a title at the left and a note at the right."""
    strip = np.full((44, rgb.shape[1], 3), PAPER, np.uint8)
    cv2.putText(strip, title, (12, 30), FONT, 0.75, INK, 1, cv2.LINE_AA)
    (width, _), _ = cv2.getTextSize(note, FONT, 0.6, 1)
    cv2.putText(strip, note, (rgb.shape[1] - width - 12, 29), FONT, 0.6, colour, 1, cv2.LINE_AA)
    return np.concatenate([strip, rgb])


def grid(pictures: Sequence[Image], columns: int) -> Image:
    """Return equally large pictures side by side on white."""
    height, width = pictures[0].shape[:2]
    rows = []
    for start in range(0, len(pictures), columns):
        row = list(pictures[start : start + columns])
        row += [np.full((height, width, 3), PAPER, np.uint8)] * (columns - len(row))
        rows.append(np.concatenate([np.pad(p, ((4, 4), (4, 4), (0, 0)), constant_values=250) for p in row], axis=1))
    return np.concatenate(rows)


def cloud_from_above(
    points: Float32[np.ndarray, "N 3"], colours: UInt8[np.ndarray, "N 3"], labels: Sequence[tuple[str, np.ndarray]]
) -> Image:
    """Return points seen obliquely from the robot's side, higher ones over lower ones, with names beside them."""
    size = (480, 640)
    out = np.full((*size, 3), PAPER, np.uint8)
    if not len(points):
        return out
    centre = np.array([0.43, 0.0, 0.03])
    view = _oblique(points - centre)
    scale = 900.0
    for i in np.argsort(view[:, 2]):
        at = (int(size[1] / 2 + scale * view[i, 0]), int(size[0] / 2 - scale * view[i, 1]))
        cv2.circle(out, at, 3, tuple(int(c) for c in colours[i]), -1)
    for name, where in labels:
        x, y, _ = _oblique((where - centre)[None])[0]
        (width, _), _ = cv2.getTextSize(name, FONT, 0.5, 1)
        left, base = int(size[1] / 2 + scale * x) - width // 2, int(size[0] / 2 - scale * y) + 62
        cv2.putText(out, name, (left, base), FONT, 0.5, PAPER, 5, cv2.LINE_AA)
        cv2.putText(out, name, (left, base), FONT, 0.5, INK, 1, cv2.LINE_AA)
    return out


def _oblique(points: np.ndarray) -> np.ndarray:
    """Return (right, up, towards the viewer) of points, looking along world +x from 50 degrees above."""
    tilt = np.deg2rad(50)
    up = points[:, 0] * np.sin(tilt) + points[:, 2] * np.cos(tilt)
    near = -points[:, 0] * np.cos(tilt) + points[:, 2] * np.sin(tilt)
    return np.stack([-points[:, 1], up, near], axis=1)
