# SPDX-License-Identifier: Apache-2.0
"""Goes once through all that a map does, so that neither the first keyframe nor the first query waits for it.

Kernels are compiled (once after installation: their machine code is kept beside them) or loaded, and the phrases that
every query is compared with are embedded.
"""

import logging
import time
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from lerf_ros.config import Config, WorkspaceConfig
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.query import answer
from lerf_ros.core.registration import register_depth
from lerf_ros.core.request import QueryRequest
from lerf_ros.core.sentry import Sentry
from lerf_ros.core.surface import SurfaceMap
from lerf_ros.core.visibility import in_view, splat_depth

WIDTH, HEIGHT, FOCAL = 160, 120, 150.0
ABOVE_M, STEP_M = 0.6, 0.07
BOX_PX, BOX_M = 8, 0.06
STEPS = 2
LONG_S = 5.0

_log = logging.getLogger(__name__)


def warm_up(config: Config, encoder: ImageTextEncoder) -> None:
    """Map and ask a made-up table with one box, and throw that map away. What goes wrong is logged: the real map will
    then say so itself, or start cold.
    """
    begin = time.monotonic()
    _log.info("warming up (the first time after installation kernels are compiled, which takes longer)")
    try:
        _rehearse(_small(config), encoder)
    except Exception:  # whatever it is, it must not keep the node from starting
        _log.warning("the warm-up failed; the first keyframes and answers will take longer", exc_info=True)
    took_s = time.monotonic() - begin
    _log.log(logging.INFO if took_s > LONG_S else logging.DEBUG, "warmed up in %.1f s", took_s)


def _small(config: Config) -> Config:
    """Return the configuration with as little work as there can be in it, on the same ways through the code."""
    return replace(
        config,
        query=replace(config.query, min_keyframes=1, min_steps=1),
        pyramid=replace(config.pyramid, levels=2, min_tile=max(0.3, config.pyramid.min_tile), max_tile=1.0),
        keyframes=replace(config.keyframes, min_translation_m=0.0, max_count=max(3, config.surface.min_views)),
    )


def _rehearse(config: Config, encoder: ImageTextEncoder) -> None:
    view = _view(config, 0)
    if view.depth_m is not None:
        register_depth(view.depth_m, view.intrinsics, np.eye(4), view.intrinsics)
    mapper = LerfMapper(config, encoder)
    try:
        for n in range(max(3, config.surface.min_views)):
            keyframe = mapper.prepare(_view(config, n))
            if keyframe is not None:
                mapper.add(keyframe)
        for _ in range(STEPS * config.train.language_every):
            mapper.step()
        snapshot = mapper.publish()
        if snapshot is not None:
            _see_a_change(mapper, snapshot.surface, config)
            _show(snapshot.surface, view)
        answer(snapshot, QueryRequest(("a box", "a ball"), plan_grasps=True), encoder, config, 0)
    finally:
        mapper.close()


def _see_a_change(mapper: LerfMapper, surface: SurfaceMap, config: Config) -> None:
    """Look again, from where the camera was and from elsewhere, when the box is gone."""
    sentry = Sentry(config.change, config.surface.min_views)
    for n in range(2):
        image = _view(config, n, box=False)
        sentry.wants(image, surface)
        keyframe = mapper.prepare(image)
        if keyframe is not None:
            mapper.add(keyframe)
            mapper.step()


def _show(surface: SurfaceMap, view: PosedImage) -> None:
    """Do what outputs and next views do with a surface."""
    depth = splat_depth(surface.points, surface.voxel_m, view.intrinsics, view.T_world_cam)
    in_view(surface.points, depth, surface.voxel_m, view.intrinsics, view.T_world_cam)


def _view(config: Config, n: int, *, box: bool = True) -> PosedImage:
    """Return the n-th view straight down onto a table in the middle of the workspace."""
    rgb = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    depth_m = np.full((HEIGHT, WIDTH), ABOVE_M, np.float32)
    shift_px = round(n * STEP_M * FOCAL / ABOVE_M)
    top, left = HEIGHT // 2 - BOX_PX, max(WIDTH // 2 - BOX_PX - shift_px, 0)
    if box:
        there = (slice(top, top + 2 * BOX_PX), slice(left, left + 2 * BOX_PX))
        rgb[there], depth_m[there] = (200, 30, 30), ABOVE_M - BOX_M
    return PosedImage(
        stamp_ns=n,
        rgb=rgb,
        depth_m=depth_m if config.input.use_depth else None,
        intrinsics=Intrinsics(WIDTH, HEIGHT, FOCAL, FOCAL, (WIDTH - 1) / 2, (HEIGHT - 1) / 2),
        T_world_cam=_pose(config.workspace, n * STEP_M),
    )


def _pose(workspace: WorkspaceConfig, x_m: float) -> Float64[np.ndarray, "4 4"]:
    T_world_cam = np.diag([1.0, -1.0, -1.0, 1.0])
    T_world_cam[:3, 3] = (np.array(workspace.min_m) + np.array(workspace.max_m)) / 2 + [x_m, 0.0, ABOVE_M]
    return T_world_cam
