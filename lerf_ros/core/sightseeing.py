# SPDX-License-Identifier: Apache-2.0
"""What a camera would see of a snapshot from anywhere: colour, depth, relevancy; and from where it would see nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.phrases import phrase_fault, split_negation
from lerf_ros.core.query import best_places
from lerf_ros.core.relevancy import CANONICAL
from lerf_ros.core.request import QueryRequest
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.surface import SurfaceMap
from lerf_ros.errors import PoseError, PromptError, RequestError

SAMPLES = 32
"""On a ray, for relevancy: with training's few, a surface between two of them shows as a speckle."""

MET = 0.7
"""Rays that less of the light stops on have met nothing."""

INSIDE_VOXELS = 2
BEHIND_VOXELS = 10
"""So close behind a surface a camera is inside a thing, not on the other side of the room."""


@dataclass(frozen=True)
class Sight:
    """Images of one camera.

    Attributes:
        rgb: colour.
        depth_m: z-depth, metres; NaN where nothing was met.
        relevancy: to the phrase, in [0, 1]; NaN where nothing was met. None: no phrase was given.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]
    relevancy: Float32[np.ndarray, "H W"] | None


def pinhole(width: int, height: int, vertical_fov_rad: float, max_pixels: int) -> Intrinsics:
    """Return the camera with square pixels and that field of view.

    Raises:
        RequestError: no pixels or too many, or no field of view.
    """
    if width < 1 or height < 1 or width * height > max_pixels:
        raise RequestError(f"an image of {width} x {height} pixels: there must be 1 to {max_pixels} "
                           "(outputs.max_render_pixels)")
    if not 0 < vertical_fov_rad < math.pi:
        raise RequestError(f"vertical_fov_rad = {vertical_fov_rad} must be above 0 and below pi")
    f = height / (2 * math.tan(vertical_fov_rad / 2))
    return Intrinsics(width, height, f, f, (width - 1) / 2, (height - 1) / 2)


def check_standpoint(at: Float64[np.ndarray, " 3"], surface: SurfaceMap, view: FieldView) -> None:
    """Refuse a camera inside a wall or a thing.

    It is if the learned density stops half of the light within `INSIDE_VOXELS` of it, or the nearest surface point is
    less than a voxel away, or that point faces away from it and is less than `BEHIND_VOXELS` away.

    Raises:
        PoseError: cause ``pose_inside``.
    """
    where = f"the camera at ({', '.join(f'{x:.3f}' for x in at)}) m"
    dense = float(view.density(at.astype(np.float32)[None])[0]) * INSIDE_VOXELS * surface.voxel_m
    if 1 - math.exp(-dense) >= 0.5:
        raise PoseError("pose_inside", f"{where} is inside something the map holds to be solid: move it off")
    if not len(surface):
        return
    away = at - surface.points
    nearest = int(np.linalg.norm(away, axis=1).argmin())
    distance = float(np.linalg.norm(away[nearest]))
    behind = float(away[nearest] @ surface.normals[nearest]) < 0 and distance < BEHIND_VOXELS * surface.voxel_m
    if behind or distance < surface.voxel_m:
        side = "behind" if behind else "from"
        raise PoseError("pose_inside", f"{where} is {100 * distance:.1f} cm {side} the mapped surface, inside a wall "
                                       "or a thing: move it off")


class Sightseer:
    """Renders snapshots on one CPU thread; the view of the last one is kept. One thread uses it."""

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self._last: tuple[FieldSnapshot, FieldView] | None = None

    def look(
        self, snapshot: FieldSnapshot, config: Config, camera: Intrinsics, T_world_cam: Float64[np.ndarray, "4 4"],
        phrase: str = "",
    ) -> Sight:  # fmt: skip
        """Render what a camera would see; with a phrase, its relevancy too, at the scale of its best match.

        Raises:
            PoseError: the camera is inside a wall or a thing.
            PromptError: the phrase cannot be asked.
            EncoderError, MapFileError: the snapshot is of another encoder or configuration.
        """
        if phrase and (fault := phrase_fault(phrase, config.query)):
            raise PromptError(fault)
        torch.set_num_threads(1)  # of this thread: training and queries have the others
        view = self._view(snapshot, config)
        check_standpoint(T_world_cam[:3, 3], snapshot.surface, view)
        seen = view.colour(camera, T_world_cam)
        met = (seen.opacity >= MET) & (seen.depth_m <= config.input.depth_max_m)
        rgb = np.asarray(np.round(255 * seen.rgb), np.uint8)
        depth_m = np.where(met, seen.depth_m, np.float32(np.nan))
        heat = self._heat(view, snapshot, config, camera, T_world_cam, phrase) if phrase else None
        return Sight(rgb, depth_m, None if heat is None else np.where(met, heat, np.float32(np.nan)))

    def _view(self, snapshot: FieldSnapshot, config: Config) -> FieldView:
        if self._last is None or self._last[0] is not snapshot:
            self._last = None  # not two at a time
            self._last = snapshot, FieldView(snapshot.weights, config, self._encoder.embed_dim, samples=SAMPLES)
        return self._last[1]

    def _heat(
        self, view: FieldView, snapshot: FieldSnapshot, config: Config, camera: Intrinsics,
        T_world_cam: Float64[np.ndarray, "4 4"], phrase: str,
    ) -> Float32[np.ndarray, "H W"]:  # fmt: skip
        """Return the relevancy of each pixel, NaN where no language was ever learned."""
        scales = snapshot.language.scales_m
        (place,) = best_places(snapshot, QueryRequest((phrase,)), self._encoder, config)
        scale = scales[len(scales) // 2 if place is None else place.best.scale]
        wanted, unwanted = split_negation(phrase)
        texts, others = (self._encoder.encode_texts(p) for p in ((wanted,), (*CANONICAL, *unwanted)))
        heat = view.relevancy(camera, T_world_cam, texts, others, np.array([scale], np.float32))[0, 0]
        return np.where(heat > 0, heat, np.float32(np.nan))
