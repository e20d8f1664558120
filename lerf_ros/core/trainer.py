# SPDX-License-Identifier: Apache-2.0
"""One optimisation step of the whole field. No threads, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lerf_ros.config import Config, TrainConfig
from lerf_ros.core.batches import PixelBatch, draw_pixels
from lerf_ros.core.focus import Window
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.language import LanguageReport, LanguageTrainer
from lerf_ros.core.losses import psnr_db
from lerf_ros.core.radiance import RadianceTrainer


@dataclass(frozen=True)
class StepReport:
    """What one step found. `depth` is in units of the depth band; `clip` (1 - cosine, or the Huber loss) and `dino`
    (squared error of the regulariser's features) are without their weights, NaN where not trained. `skipped`
    counts, from the start, the steps of either field that were not taken because a loss or gradient was not finite.
    """

    step: int
    loss: float
    photometric: float
    psnr_db: float
    depth: float
    clip: float
    rays: int
    dino: float = float("nan")
    skipped: int = 0


def rate_ratio(config: TrainConfig, steps: int) -> float:
    """Return the share of the initial learning rates that is left: exponential, then constant."""
    return max(float(0.5 ** (steps / config.half_life_steps)), config.min_lr_ratio)


class Trainer:
    """Radiance and language, step by step, on whatever keyframes there are.

    Args:
        config: the whole tree.
        embed_dim: width of the pyramids' embeddings; None: no language.
        patch_dim: width of the keyframes' patch features; None: the language is not regularised.
    """

    def __init__(self, config: Config, embed_dim: int | None, patch_dim: int | None = None) -> None:
        self._config = config.train
        self.workers = Workers(1)
        self._rng = np.random.default_rng(config.train.seed + 2)
        self.radiance = RadianceTrainer(config, self.workers)
        self._patch_dim = patch_dim
        self.language = (
            None if embed_dim is None else LanguageTrainer(config, embed_dim, self.radiance, self.workers, patch_dim)
        )
        self._slots: dict[int, int] = {}
        self._free = list(range(config.keyframes.max_count + 1))  # one more: a new one is added before one leaves
        self.steps = 0

    def add(self, keyframe: Keyframe, slot: int | None = None) -> None:
        """Give a keyframe its exposure row (`slot`; None: a free one) and its place in the pyramid bank.

        Raises:
            ValueError: its features are not those that are trained on, or the slot is taken.
        """
        if self._patch_dim is not None and (keyframe.patches is None or keyframe.patches.shape[2] != self._patch_dim):
            raise ValueError(f"keyframe {keyframe.id} has no patch features of width {self._patch_dim}")
        if slot is not None and slot not in self._free:
            raise ValueError(f"there is no free slot {slot} for keyframe {keyframe.id}")
        if self.language is not None and keyframe.pyramid is not None:
            self.language.bank.add(keyframe.id, keyframe.pyramid)
        self._slots[keyframe.id] = self._free.pop(0 if slot is None else self._free.index(slot))

    def remove(self, keyframe: Keyframe) -> None:
        """Forget an evicted keyframe; what was learned from it stays until others overwrite it."""
        slot = self._slots.pop(keyframe.id)
        self._free.append(slot)
        self.radiance.forget(slot)
        if self.language is not None and keyframe.pyramid is not None:
            self.language.bank.remove(keyframe.id)

    def release(self) -> None:
        """Give back gradients and kernel threads, between two steps; the next one makes them anew."""
        self.workers.close()
        grids = [self.radiance.field.grid] + ([] if self.language is None else list(self.language.field.grids))
        for grid in grids:
            grid.release()

    def slot(self, keyframe: Keyframe) -> int:
        """Return the exposure row of a keyframe."""
        return self._slots[keyframe.id]

    @property
    def skipped(self) -> int:
        """Steps of either field that were not taken because a loss or gradient was not finite."""
        return self.radiance.skipped + (0 if self.language is None else self.language.skipped)

    def colour_error(self, batch: PixelBatch) -> float:
        """Return the mean squared colour error of rays as the field renders them now."""
        slots = np.array([self._slots[frame.id] for frame in batch.frames], np.int64)[batch.frame]
        return self.radiance.colour_error(batch, slots)

    def step(self, frames: Sequence[Keyframe], focus: Sequence[Window] = ()) -> StepReport:
        """Take one step of each field; a share of the rays lies in `focus`, if there is any."""
        lr_ratio = rate_ratio(self._config, self.steps)
        recent = self._config.recent_share
        batch = draw_pixels(frames, self._config.rays, recent, self._rng, focus)
        slots = np.array([self._slots[frame.id] for frame in batch.frames], np.int64)[batch.frame]
        found = self.radiance.step(batch, slots, lr_ratio)
        language = None
        if self.language is not None and self.steps % self._config.language_every == 0:
            pixels = draw_pixels(frames, self._config.language_rays, recent, self._rng, focus)
            language = self.language.step(pixels, lr_ratio)
        language = language or LanguageReport(float("nan"), float("nan"), 0.0)
        self.steps += 1
        return StepReport(
            self.steps, found.photometric + language.total, found.photometric, psnr_db(found.photometric), found.depth,
            language.clip, len(batch), language.dino, self.skipped,
        )  # fmt: skip
