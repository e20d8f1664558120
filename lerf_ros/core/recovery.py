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
        self._detect, self._store = config.change.detect, store
        self._watch = ChangeWatch(config.change, surface, store, config.surface.min_views)
        self._sentry = Sentry(config.change, config.surface.min_views)
        self._rng = np.random.default_rng(config.train.seed + 3)
        self._glance: Glance | None = None

    def wants(self, image: PosedImage, surface: SurfaceMap | None) -> bool:
        """Return whether a frame whose camera stands still must become a keyframe (encoder thread)."""
        return self._on() and self._sentry.wants(image, surface)

    def kept(self, image: PosedImage) -> None:
        """Take note that a frame became a keyframe (encoder thread)."""
        self._sentry.kept(image)

    def moved(self, image: PosedImage) -> None:
        """Take note that a camera has moved (encoder thread)."""
        self._sentry.moved(image.camera)

    def adding(self, keyframe: Keyframe, step: int) -> None:
        """Compare a keyframe with the surface; call it before that keyframe is fused."""
        on = self._on()
        self._glance = Glance.of(keyframe.image) if on else None
        while on and self._sentry.evidence:
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

    def learned(self, trainer: Trainer, frames: tuple[Keyframe, ...], idle_steps: int) -> None:
        """Take a step of training into account: what is known as well as the rest is relearned.

        So is what changed long ago, and all before training rests, `idle_steps` after the last keyframe.
        """
        every = max(min(CHECK_EVERY, idle_steps // 2), 1)
        if trainer.steps % every or not len(self._watch.regions):
            return
        most = max(min(MOST_STEPS, idle_steps - every), 1)
        for region in self._watch.regions:
            if region.sure and self._is_relearned(region, trainer, frames, most):
                self._watch.relearned(region)

    def time_jumped(self) -> None:
        """Forget what a clock that has jumped back makes evidence of the future."""
        self._sentry.evidence.clear()

    def _on(self) -> bool:
        """Return whether changes are looked for: beside keyframes without depth the surface is made anew all the time.
        """
        return self._detect and all(frame.image.depth for frame in self._store.view())

    def _is_relearned(
        self, region: Region, trainer: Trainer, frames: tuple[Keyframe, ...], most_steps: int
    ) -> bool:
        steps = trainer.steps - region.renewed_at
        if steps >= most_steps:  # whether or not a keyframe shows it
            return True
        here = [w for w in self._watch.windows(frames) if w.place == region.place()]
        if not here or steps < LEAST_STEPS:
            return False
        there = trainer.colour_error(draw_pixels(frames, RAYS, 0.0, self._rng, here, focus_share=1.0))
        return there <= max(GOOD, AS_GOOD * trainer.colour_error(draw_pixels(frames, RAYS, 0.0, self._rng)))
