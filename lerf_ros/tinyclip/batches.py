# SPDX-License-Identifier: Apache-2.0
"""Draws training batches: which crops, how they are changed, and their captions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from lerf_ros.tinyclip.captions import MAIN_CENTRE, Caption, draw_caption, main_row, truth_matrix
from lerf_ros.tinyclip.facts import CropFacts
from lerf_ros.tinyclip.model import CONTEXT, MEAN, STD, VOCABULARY
from lerf_ros.tinyclip.vocabulary import COLOUR_WORDS, N_OBJECT_CATEGORIES, UNKNOWN

RECOLOURED_SHARE: Final = 0.3
RANDOM_TEXTS: Final = 32
_BACKGROUND_SHARE: Final = 0.12
_LEADS: Final = ("", "a", "a", "an", "the", "a photo of a")
_GREY: Final = np.array([0.299, 0.587, 0.114])
#: Cross product with the unit vector along (1, 1, 1), for rotations of the hue.
_GREY_AXIS_CROSS: Final = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
_GRAINS: Final = 256
_EARLY: Final = 0.357


@dataclass(frozen=True)
class Batch:
    """One step's input. `facts.colour` is UNKNOWN throughout in recoloured crops; `main` is the row captioned."""

    images: Float[Tensor, "B 3 64 64"]
    facts: CropFacts
    main: Int64[np.ndarray, "B"]
    captions: list[Caption]
    tokens: Int64[Tensor, "B L"]
    noise_tokens: Int64[Tensor, "R L"]
    truth: Bool[np.ndarray, "B B"]


def colour_matrix(rng: np.random.Generator) -> np.ndarray:
    """A random 3x3 map of RGB: grey, a permutation of the channels, or a rotation of the hue."""
    dice = rng.random()
    if dice < 0.25:
        return np.tile(_GREY, (3, 1))
    if dice < 0.55:
        return np.eye(3)[rng.permutation(3)]
    angle = rng.uniform(0.5, 2 * np.pi - 0.5)
    return np.asarray(np.cos(angle) * np.eye(3) + np.sin(angle) * _GREY_AXIS_CROSS + (1 - np.cos(angle)) / 3)


class BatchMaker:
    """Draws batches from all crops with one random generator, so that a seed gives the same run."""

    def __init__(
        self,
        images: UInt8[np.ndarray, "N 64 64 3"],
        facts: CropFacts,
        tokenize: Callable[[list[str]], Tensor],
        size: int,
    ) -> None:
        self._images, self._facts, self._size = images, facts, size
        self._tokenize = tokenize
        self._token_cache: dict[str, Tensor] = {}
        objects = (facts.category >= 0) & (facts.category < N_OBJECT_CATEGORIES)
        central = np.where(objects, facts.centre, 0).max(1)
        clean = (objects & (facts.centre > 0.3) & (facts.complete > 0.35)).any(1)
        self._clean = np.flatnonzero(clean)
        self._background = np.flatnonzero(central < MAIN_CENTRE / 2)
        self._mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        self._std = torch.tensor(STD).view(1, 3, 1, 1)
        grain = np.random.default_rng(0).standard_normal((_GRAINS, 3, 64, 64), dtype=np.float32)
        self._grain = torch.from_numpy(grain)

    def tokens(self, texts: list[str]) -> Int64[Tensor, "T L"]:
        """Token ids, each phrase tokenised once."""
        for text in texts:
            if text not in self._token_cache:
                self._token_cache[text] = self._tokenize([text])[0]
        return torch.stack([self._token_cache[t] for t in texts])

    def _choose(self, rng: np.random.Generator, progress: float) -> Int64[np.ndarray, "B"]:
        """Clean views of objects more often at first; pure background at a fixed share."""
        dice = rng.random(self._size)
        pick = rng.integers(0, len(self._images), self._size)
        clean = dice < 0.7 - 0.3 * progress
        pick[clean] = rng.choice(self._clean, int(clean.sum()))
        ground = dice > 1 - _BACKGROUND_SHARE
        pick[ground] = rng.choice(self._background, int(ground.sum()))
        return pick

    def _noise(self, rng: np.random.Generator) -> Int64[Tensor, "R L"]:
        """Phrases whose noun is 1..4 random tokens: unknown words, cheap to reject."""
        start, end = VOCABULARY - 2, VOCABULARY - 1
        rows = torch.zeros(RANDOM_TEXTS, CONTEXT, dtype=torch.int64)
        for row in rows:
            lead = str(rng.choice(_LEADS))
            if rng.random() < 0.2:
                lead = f"{lead} {rng.choice(COLOUR_WORDS)}"
            known = self.tokens([lead])[0].tolist()
            known = known[1 : known.index(end)]
            ids = [start, *known, *rng.integers(256, start, int(rng.integers(1, 5))).tolist(), end]
            row[: len(ids)] = torch.tensor(ids)
        return rows

    def _augment(
        self,
        rng: np.random.Generator,
        images: UInt8[np.ndarray, "B 64 64 3"],
        recoloured: Bool[np.ndarray, "B"],
        flipped: Bool[np.ndarray, "B"],
        spread: float,
    ) -> Float[Tensor, "B 3 64 64"]:
        n = len(images)
        x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div_(255)
        for k in np.flatnonzero(recoloured):
            x[k] = (torch.from_numpy(colour_matrix(rng)).float() @ x[k].reshape(3, -1)).view_as(x[k])
        for k in np.flatnonzero(flipped):
            x[k] = x[k].flip(-1)

        def noise(low: float, high: float, *shape: int) -> Tensor:
            return torch.from_numpy(rng.uniform(low, high, shape)).float()

        x.mul_(noise(1 - spread, 1 + spread, n, 1, 1, 1)).add_(noise(-0.03, 0.03, n, 3, 1, 1))
        grain = self._grain[torch.from_numpy(rng.integers(0, _GRAINS, n))].mul_(noise(0, 0.02, n, 1, 1, 1))
        return x.clamp_(0, 1).add_(grain).clamp_(0, 1).sub_(self._mean).div_(self._std)

    def draw(self, rng: np.random.Generator, progress: float) -> Batch:
        """The next batch; `progress` in 0..1 shifts the mix from clean crops to all crops."""
        index = self._choose(rng, progress)
        facts = self._facts.take(index)
        recoloured = rng.random(self._size) < RECOLOURED_SHARE
        colour = facts.colour.copy()
        colour[recoloured] = np.where(facts.category[recoloured] >= 0, UNKNOWN, colour[recoloured])
        facts = replace(facts, colour=colour)
        main = np.array([main_row(facts, k) for k in range(self._size)])
        captions = [draw_caption(rng, facts, k) for k in range(self._size)]
        lettered = (facts.word >= 0).any(1)
        flipped = (rng.random(self._size) < 0.5) & ~lettered
        texts = [c.text for c in captions]
        # Strong changes of brightness make white and gray the same: only at first.
        spread = 0.28 if progress < _EARLY else 0.12
        return Batch(
            images=self._augment(rng, self._images[index], recoloured, flipped, spread),
            facts=facts,
            main=main,
            captions=captions,
            tokens=self.tokens(texts),
            noise_tokens=self._noise(rng),
            truth=truth_matrix(facts, captions),
        )
