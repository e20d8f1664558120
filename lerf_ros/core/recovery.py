# SPDX-License-Identifier: Apache-2.0
"""Notices that the world has changed, and sees to it that the map recovers: what the mapper asks of that."""

import numpy as np

from lerf_ros.config import Config
from lerf_ros.core.batches import draw_pixels
from lerf_ros.core.focus import Window
from lerf_ros.core.glance import Glance
from lerf_ros.core.keyframes import Keyframe, KeyframeStore, PosedImage
from lerf_ros.core.regions import Region
from lerf_ros.core.sentry import Sentry
from lerf_ros.core.surface import SurfaceBuilder, SurfaceMap
from lerf_ros.core.trainer import Trainer
from lerf_ros.core.watch import ChangeWatch

CHECK_EVERY = 50
LEAST_STEPS = 150
"""Training steps that a change takes to be relearned, at least ..."""

MOST_STEPS = 800
"""... and at most: what cannot be learned as well as the rest must not stay stale for ever."""

AS_GOOD, GOOD = 1.5, 0.004
"""Relearned when the colour error there is no more than this many times that of the rest, which may be an empty table,
or a mean square of no more than this (24 dB)."""

RAYS = 512


class Recovery:
    """What has changed, from notice to relearned. `wants` belongs to the encoder thread, all else to the trainer's."""

    def __init__(self, config: Config, surface: SurfaceBuilder, store: KeyframeStore) -> None:
        self._on = config.change.detect
        self._watch = ChangeWatch(config.change, surface, store, config.surface.min_views)
        self._sentry = Sentry(config.change, config.surface.min_views)
        self._rng = np.random.default_rng(config.train.seed + 3)
        self._glance: Glance | None = None

    def wants(self, image: PosedImage, surface: SurfaceMap | None) -> bool:
        """Return whether a frame whose camera stands still must become a keyframe (encoder thread)."""
        return self._on and self._sentry.wants(image, surface)

    def moved(self, image: PosedImage) -> None:
        """Take note that a camera has moved (encoder thread)."""
        self._sentry.moved(image.camera)

    def adding(self, keyframe: Keyframe, step: int) -> None:
        """Compare a keyframe with the surface; call it before that keyframe is fused."""
        self._glance = Glance.of(keyframe.image) if self._on else None
        while self._on and self._sentry.evidence:
            self._watch.look(self._sentry.evidence.popleft(), step)
        if self._glance is not None:
            self._glance = self._watch.look(self._glance, step)

    def added(self, keyframe: Keyframe, step: int) -> None:
        """Compare what a keyframe added to the surface with older ones; call it after that keyframe was fused."""
        if self._glance is not None:
            self._watch.fused(keyframe, self._glance, step)

    def windows(self, frames: tuple[Keyframe, ...]) -> tuple[Window, ...]:
        """Return what to draw more rays from."""
        return self._watch.windows(frames)

    def learned(self, trainer: Trainer, frames: tuple[Keyframe, ...]) -> None:
        """Take a step of training into account: what is known as well as the rest is relearned."""
        if trainer.steps % CHECK_EVERY or not len(self._watch.regions):
            return
        for region in self._watch.regions:
            if region.sure and self._is_relearned(region, trainer, frames):
                self._watch.relearned(region)

    @property
    def version(self) -> int:
        """Counts every change of what is stale."""
        return self._watch.regions.version

    def _is_relearned(self, region: Region, trainer: Trainer, frames: tuple[Keyframe, ...]) -> bool:
        here = [w for w in self._watch.windows(frames) if w.place == region.place()]
        steps = trainer.steps - region.renewed_at
        if not here or steps < LEAST_STEPS:
            return False
        if steps >= MOST_STEPS:
            return True
        there = trainer.colour_error(draw_pixels(frames, RAYS, 0.0, self._rng, here, focus_share=1.0))
        return there <= max(GOOD, AS_GOOD * trainer.colour_error(draw_pixels(frames, RAYS, 0.0, self._rng)))
