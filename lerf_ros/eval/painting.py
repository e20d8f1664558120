# SPDX-License-Identifier: Apache-2.0
"""Answers in novel views: where the hottest pixel is, and which pixels are taken to be the thing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.eval.protocols_2d import hottest, in_any_box, iou, ovs_mask
from lerf_ros.eval.questions import Question
from lerf_ros.eval.rules import Found
from lerf_ros.eval.views2d import NovelView, hottest_pixel, splat

MASK_SIZE: Final = (960, 720)
"""LERF-OVS's filters are in pixels of images about this large."""


class Painter(Protocol):
    """Shows an answer in the novel views."""

    def paint(self, question: Question, found: Found) -> tuple[tuple[bool, ...], tuple[float, ...]]:
        """Return, for each view that shows a right object, whether the hottest pixel is in its box, and the IoU."""
        ...


@dataclass(frozen=True)
class SurfacePainter:
    """Draws surface points into the views.

    Attributes:
        things: the answer is a thing, and its points are the mask; else relevancy is stretched as LERF-OVS does.
    """

    snapshot: FieldSnapshot
    views: Sequence[NovelView]
    seen: Sequence[np.ndarray]
    things: bool

    def paint(self, question: Question, found: Found) -> tuple[tuple[bool, ...], tuple[float, ...]]:
        """As in `Painter`."""
        hits: list[bool] = []
        ious: list[float] = []
        for view, seen in zip(self.views, self.seen, strict=True):
            boxes = view.boxes(question.objects)
            if not len(boxes):
                continue
            T = view.frame.T_world_cam
            pixel = hottest_pixel(seen, found.values, self.snapshot.surface.points, view.intrinsics, T)
            hits.append(pixel is not None and in_any_box(pixel, boxes))
            truth = view.mask(question.objects)
            if self.things:
                ious.append(iou(found.selected[seen] & (seen >= 0), truth))
            else:
                ious.append(mask_iou(np.where(seen >= 0, found.values[seen], 0).astype(np.float32)[None], truth))
        return tuple(hits), tuple(ious)


def surface_painter(
    snapshot: FieldSnapshot, views: Sequence[NovelView], min_views: int, things: bool
) -> SurfacePainter:
    """Return a painter of a map's answerable points."""
    surface = snapshot.surface
    use = surface.answerable(min_views)
    seen = [splat(surface.points, use, surface.voxel_m, v.intrinsics, v.frame.T_world_cam) for v in views]
    return SurfacePainter(snapshot, views, seen, things)


@dataclass(frozen=True)
class ImagePainter:
    """Takes relevancy images of the views as they are: `heat[v][phrase]` is S x H x W, of any size."""

    views: Sequence[NovelView]
    heat: Sequence[dict[str, Float32[np.ndarray, "S H W"]]]

    def paint(self, question: Question, found: Found) -> tuple[tuple[bool, ...], tuple[float, ...]]:
        """As in `Painter`."""
        del found
        hits: list[bool] = []
        ious: list[float] = []
        for view, heat in zip(self.views, self.heat, strict=True):
            boxes = view.boxes(question.objects)
            if not len(boxes):
                continue
            image = heat[question.phrase]
            best = hottest(image)
            scale = view.owner.shape[1] / image.shape[2]
            pixel = np.rint((best.pixels[:1] + 0.5) * scale - 0.5).astype(np.int64)
            hits.append(in_any_box(pixel, boxes))
            ious.append(mask_iou(image[best.level][None], view.mask(question.objects)))
        return tuple(hits), tuple(ious)


def mask_iou(heat: Float32[np.ndarray, "1 h w"], truth: Bool[np.ndarray, "H W"]) -> float:
    """Return LERF-OVS's IoU of a relevancy image with a mask, both resized to the size its filters are made for."""
    large = cv2.resize(heat[0], MASK_SIZE, interpolation=cv2.INTER_LINEAR)[None]
    label = cv2.resize(truth.astype(np.uint8), MASK_SIZE, interpolation=cv2.INTER_NEAREST).astype(bool)
    return iou(ovs_mask(large), label)
