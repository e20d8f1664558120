# SPDX-License-Identifier: Apache-2.0
"""Pictures of a field from a camera: rendered colour, and beside it the rendered relevancy of every phrase as heat."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from lerf_ros.apps import point_view as pv
from lerf_ros.apps.viewpoint import Viewpoint
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.heat_image import heat_of
from lerf_ros.core.phrases import split_negation
from lerf_ros.core.radiance import Rendering
from lerf_ros.core.relevancy import CANONICAL
from lerf_ros.core.request import PromptAnswer, Status

HIDDEN_M = 0.03
"""An answer this far behind what is rendered at its pixel is hidden in the view."""

SAMPLES = 64
"""Samples a ray for pictures: with training's few, a surface between two of them shows as a speckle."""

OVERLAY = 0.75
"""Heat stays this transparent at least, so that what glows can still be recognised."""


@dataclass(frozen=True)
class Shot:
    """What is rendered from one camera.

    Attributes:
        view: the camera.
        seen: colour and depth.
        relevancy: of every pixel to each phrase that could be asked, at the scale of its answer.
    """

    view: Viewpoint
    seen: Rendering
    relevancy: dict[str, Float32[np.ndarray, "H W"]]


def shoot(
    field: FieldView,
    view: Viewpoint,
    answers: Sequence[PromptAnswer],
    encoder: ImageTextEncoder,
    negatives: Sequence[str] = (),
) -> Shot:
    """Render colour, and at half that size relevancy, at the scales that the answers were found at."""
    seen = field.colour(view.intrinsics, view.T_world_cam)
    half = view.resized(max(view.intrinsics.width // 2, 1))
    heats: dict[str, Float32[np.ndarray, "H W"]] = {}
    alike: dict[tuple[str, ...], list[PromptAnswer]] = {}  # phrases against the same negatives are rendered together
    for found in answers:
        if matched(found):
            alike.setdefault(split_negation(found.prompt)[1], []).append(found)
    for unwanted, group in alike.items():
        scales, scale = np.unique(np.array([a.scale_m for a in group], np.float32), return_inverse=True)
        wanted = encoder.encode_texts([split_negation(a.prompt)[0] for a in group])
        others = encoder.encode_texts((*CANONICAL, *negatives, *unwanted))
        maps = field.relevancy(half.intrinsics, half.T_world_cam, wanted, others, scales)
        heats |= {a.prompt: _enlarged(maps[k, scale[k]], view) for k, a in enumerate(group)}
    return Shot(view, seen, heats)


def matched(found: PromptAnswer) -> bool:
    """Return whether an answer tells of a match, and so at which scale (which may be 0) its heat is to be rendered.

    One that is NOT_FOUND has lost its point; where something was at least compared, its relevancy is left.
    """
    return found.argmax_point is not None or (found.status is Status.NOT_FOUND and found.relevancy > 0)


def _enlarged(heat: Float32[np.ndarray, "h w"], view: Viewpoint) -> Float32[np.ndarray, "H W"]:
    size = (view.intrinsics.width, view.intrinsics.height)
    return np.asarray(cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR), np.float32)


def page(shot: Shot, answers: Sequence[PromptAnswer], caption: str) -> Image.Image:
    """Return a page: colour first, then one panel a phrase with its heat, its status and where it is answered."""
    k = shot.view.intrinsics
    colour = np.asarray(np.round(255 * shot.seen.rgb), np.uint8)
    at = ", ".join(f"{v:.2f}" for v in shot.view.T_world_cam[:3, 3])
    panels = [pv.titled(colour, shot.view.name.capitalize(), f"rendered at {k.width} x {k.height} from ({at}) m")]
    panels += [_panel(shot, answer, colour) for answer in answers]
    return pv.sheet(panels, f"{pv.LEGEND}; {caption}")


def _panel(shot: Shot, found: PromptAnswer, colour: UInt8[np.ndarray, "H W 3"]) -> Image.Image:
    if found.prompt not in shot.relevancy:
        return pv.titled(_pale(colour, np.zeros(colour.shape[:2], np.float32)), found.prompt or "(empty)",
                         f"{found.status.name}: {found.message}")  # fmt: skip
    heat = heat_of(shot.relevancy[found.prompt], found.probability)
    note = f"{found.status.name}, probability {found.probability:.2f}, relevancy {found.relevancy:.2f} " \
           f"at {found.scale_m:.2f} m"  # fmt: skip
    if len(found.instances) > 1:
        note += f"; {len(found.instances)} alike"
    where = whereabouts(shot, found)
    picture = Image.fromarray(_pale(colour, heat))
    for other in found.instances[1:]:
        pv.mark(picture, shot.view, other.extent, other.point, hollow=True)
    pv.mark(picture, shot.view, found.extent, found.argmax_point, hollow=where == "hidden")
    said = {"outside": "; outside this view", "hidden": "; hidden in this view"}.get(where, "")
    return pv.titled(np.asarray(picture), found.prompt, note + said, pv.INKS.get(found.status.name, pv.FAINT))


def whereabouts(shot: Shot, found: PromptAnswer) -> str:
    """Return where an answer is in the picture: "visible", "hidden" behind something, "outside", "" when nowhere."""
    if found.argmax_point is None or found.status is Status.NOT_FOUND:
        return ""
    point = found.argmax_point[None]
    if not shot.view.frames(point)[0]:
        return "outside"
    u, v, z = shot.view.project(point)[0]
    return "hidden" if z > shot.seen.depth_m[round(v), round(u)] + HIDDEN_M else "visible"


def _pale(colour: UInt8[np.ndarray, "H W 3"], heat: Float32[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    flat = pv.tinted(colour.reshape(-1, 3).astype(np.float64), heat.ravel(), OVERLAY)
    return np.asarray(np.clip(flat, 0, 255).astype(np.uint8).reshape(colour.shape))
