# SPDX-License-Identifier: Apache-2.0
"""How published evaluations turn relevancy into hits and masks. Pure functions; every name says whose rule it is.

Relevancy images are `[S H W]`: one phrase, all scales (LangSplat's three mask levels are the same axis). Boxes are
`x1 y1 x2 y2` in pixels, their edges included. The protocols are never to be mixed: the same method differs by a factor
of five between LERF-OVS's rendered masks and OpenGaussian's selected points.

Sources: LERF (Kerr et al. 2023, section 4.3) with the authors' recipe for their labels; LERF-OVS: LangSplat (Qin et al.
2024, section 4.1) with its released evaluation; OpenGaussian (Wu et al. 2024, section 4.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

BLUR_PX = 30
"""Side of the mean filter of LERF-OVS."""

MASK_THRESHOLD = 0.4
"""What LERF-OVS keeps of a stretched relevancy image."""

MAJORITY_PX = 7
"""Side of the majority filter of LERF-OVS."""

RECALL_IOU = 0.25
"""An answer counts as found, in OpenGaussian's mAcc, above this IoU."""


@dataclass(frozen=True)
class Hottest:
    """Where relevancy is highest.

    Attributes:
        level: index of the scale.
        pixels: x, y of every pixel that shares the highest value; almost always one.
    """

    level: int
    score: float
    pixels: Int64[np.ndarray, "N 2"]


def hottest(relevancy: Float[np.ndarray, "S H W"]) -> Hottest:
    """Return the highest value over all scales, of the first scale that has it."""
    level = int(relevancy.max(axis=(1, 2)).argmax())
    score = relevancy[level].max()
    return Hottest(level, float(score), np.argwhere(relevancy[level] == score)[:, ::-1].astype(np.int64))


def in_any_box(pixels: Int64[np.ndarray, "N 2"], boxes: Float[np.ndarray, "B 4"]) -> bool:
    """Return whether any pixel lies in any box."""
    x, y = pixels[:, 0, None], pixels[:, 1, None]
    inside = (x >= boxes[:, 0]) & (x <= boxes[:, 2]) & (y >= boxes[:, 1]) & (y <= boxes[:, 3])
    return bool(inside.any())


def lerf_hit(relevancy: Float[np.ndarray, "S H W"], boxes: Float[np.ndarray, "B 4"]) -> bool:
    """LERF: the one most relevant pixel, at the scale that has it, lies in a box of the label; any instance counts."""
    return in_any_box(hottest(relevancy).pixels[:1], boxes)


def ovs_blurred(relevancy: Float[np.ndarray, "S H W"]) -> Float32[np.ndarray, "S H W"]:
    """LERF-OVS's smoothing: a 30 x 30 mean, mirrored at the border."""
    kernel = np.full((BLUR_PX, BLUR_PX), 1 / BLUR_PX**2)
    return np.stack([cv2.filter2D(level.astype(np.float32), -1, kernel) for level in relevancy])


def ovs_hit(relevancy: Float[np.ndarray, "S H W"], boxes: Float[np.ndarray, "B 4"]) -> bool:
    """LERF-OVS: the most relevant pixel of the blurred images, over all levels, lies in a box of the label."""
    return in_any_box(hottest(ovs_blurred(relevancy)).pixels, boxes)


def ovs_mask(relevancy: Float[np.ndarray, "S H W"]) -> Bool[np.ndarray, "H W"]:
    """LERF-OVS's mask: of the level whose half blurred image is highest, stretched to [-1, 1], what is above 0.4.

    The stretch is relative to the image's own range, so that every phrase gets a mask, whether it is there or not.
    """
    mixed = 0.5 * (ovs_blurred(relevancy) + relevancy.astype(np.float32))
    best = mixed[hottest(mixed).level]
    best = best - best.min()
    stretched = np.clip(2 * best / (best.max() + 1e-9) - 1, 0, 1)
    return majority(stretched > MASK_THRESHOLD)


def majority(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """LERF-OVS's clean-up: a pixel is what most of the 7 x 7 around it are; ties are background.

    As in the released evaluation, the last row and column have no vote.
    """
    votes = np.zeros(mask.shape, np.float32)
    votes[:-1, :-1] = 1.0
    kernel = np.ones((MAJORITY_PX, MAJORITY_PX), np.float32)
    total = cv2.filter2D(votes, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    ayes = cv2.filter2D(votes * mask, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(2 * np.rint(ayes) > np.rint(total))


def iou(found: Bool[np.ndarray, "*shape"], truth: Bool[np.ndarray, "*shape"]) -> float:
    """Return intersection over union; 0 where both are empty."""
    union = int((found | truth).sum())
    return int((found & truth).sum()) / union if union else 0.0


def ovs_iou(relevancy: Float[np.ndarray, "S H W"], truth: Bool[np.ndarray, "H W"]) -> float:
    """LERF-OVS: IoU of the found mask with the label's, all whose instances are united."""
    return iou(ovs_mask(relevancy), truth)


def selection_recall(ious: Sequence[float]) -> float:
    """Return OpenGaussian's mAcc: the share of phrases whose points selected in 3D have an IoU above 0.25.

    OpenGaussian compares the silhouettes of the selected Gaussians; here the points themselves are compared, which an
    occluder cannot hide.

    Raises:
        ValueError: there is no phrase.
    """
    if not ious:
        raise ValueError("no phrase to score")
    return float(np.mean([value > RECALL_IOU for value in ious]))
