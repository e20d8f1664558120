# SPDX-License-Identifier: Apache-2.0
"""Surface without measured depth: rendered depth of the keyframes that have none, where enough of them agree."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float32

from lerf_ros.core.agreement import DepthView, confirmations
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import KeptImage, Keyframe
from lerf_ros.core.packed import BitMask
from lerf_ros.core.radiance import RadianceTrainer
from lerf_ros.core.surface import SAMPLES_PER_VOXEL, SurfaceBuilder

RENDERED_WIDTH_PX = 120
RENDERED_A_SNAPSHOT = 6
MIN_OPACITY = 0.7
MEDIAN_PX = 5


class RenderedSurface:
    """Keeps depth rendered for keyframes without any. Owner: the trainer thread.

    Attributes:
        views: by keyframe id, the one rendered longest ago first.
    """

    def __init__(self) -> None:
        self.views: dict[int, DepthView] = {}

    def depth_m(self, keyframe_id: int) -> Float32[np.ndarray, "h w"] | None:
        """Return the z-depth last rendered for a keyframe, metres, 0 where unknown, at a size of its own."""
        view = self.views.get(keyframe_id)
        return None if view is None else view.depth_m

    def remove(self, keyframe_id: int) -> None:
        """Forget a keyframe that left the map."""
        self.views.pop(keyframe_id, None)

    def fuse(
        self, frames: Sequence[Keyframe], surface: SurfaceBuilder, radiance: RadianceTrainer, min_views: int
    ) -> None:
        """Make the surface anew of measured depth, and of rendered depth that `min_views` keyframes agree on.

        Without a keyframe that lacks depth the surface stays as it is.
        """
        blind = [frame for frame in frames if frame.image.depth is None]
        if not blind:
            return
        self._render(blind, radiance)
        views = [self.views[frame.id] for frame in blind]
        counts = confirmations(views)
        sure = [
            replace(view, depth_m=np.where(seen >= min_views, view.depth_m, np.float32(0)))
            for view, seen in zip(views, counts, strict=True)
        ]
        surface.clear(_spacing(sure) if len(blind) == len(frames) else 0.0)
        for frame in frames:
            if (depth_m := frame.image.depth_m) is not None:
                surface.add(frame.image, depth_m)
        for frame, view, seen in zip(blind, sure, counts, strict=True):
            surface.add(_small(frame.image), view.depth_m, seen)

    def _render(self, blind: list[Keyframe], radiance: RadianceTrainer) -> None:
        """Render depth of every new keyframe; with few of them, of those rendered longest ago too: the field learns."""
        age = {key: place for place, key in enumerate(self.views)}
        order = sorted(blind, key=lambda frame: age.get(frame.id, -1))
        new = sum(frame.id not in age for frame in blind)
        for frame in order[: max(new, RENDERED_A_SNAPSHOT)]:
            camera, pose = _small_camera(frame.image), frame.image.T_world_cam
            seen = radiance.render(camera, pose)
            depth = np.where(seen.opacity > MIN_OPACITY, seen.depth_m, 0).astype(np.float32)
            # The median ray sample jumps from pixel to pixel; the median of pixels keeps edges.
            depth = np.asarray(cv2.medianBlur(depth, MEDIAN_PX), np.float32)
            self.views.pop(frame.id, None)
            self.views[frame.id] = DepthView(depth, camera, pose)


def _small_camera(image: KeptImage) -> Intrinsics:
    """Return the camera that depth is rendered for."""
    width = min(RENDERED_WIDTH_PX, image.intrinsics.width)
    return image.intrinsics.scaled(width, max(round(image.intrinsics.height * width / image.intrinsics.width), 1))


def _small(image: KeptImage) -> KeptImage:
    """Return the image at the size that depth is rendered at; a pixel is masked out if any of its own is."""
    camera, mask = _small_camera(image), image.mask
    size = (camera.width, camera.height)
    rgb = cv2.resize(image.rgb, size, interpolation=cv2.INTER_AREA)
    bits = None
    if mask is not None:
        bits = BitMask.of(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 1 - 1e-3)
    return replace(image, rgb=rgb, intrinsics=camera, bits=bits)


def _spacing(views: list[DepthView]) -> float:
    """Return the voxel size (m) that pixels of rendered depth are dense enough for."""
    pixels = [view.depth_m[view.depth_m > 0] / min(view.intrinsics.fx, view.intrinsics.fy) for view in views]
    every = np.concatenate(pixels)
    return SAMPLES_PER_VOXEL * float(np.median(every)) if len(every) else 0.0
