# SPDX-License-Identifier: Apache-2.0
"""Where the things are that a phrase may mean: one request on one snapshot. What it means for the asker: `query.py`."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.localise import Nulls, Place, localise, localise_peak
from lerf_ros.core.memo import Memo
from lerf_ros.core.phrases import split_negation
from lerf_ros.core.relevancy import CANONICAL
from lerf_ros.core.request import QueryRequest
from lerf_ros.core.segments import Segments, segment
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.support import SHARE, Support, null_fits

Finder = Callable[[Float[Tensor, "P D"], Float[Tensor, "C D"]], list[Place | None]]

_segments: Memo[Segments] = Memo()
_supports: Memo[Support] = Memo()
_nulls: Memo[Float32[np.ndarray, "P K"]] = Memo()
_nulls_of_parts: Memo[Float32[np.ndarray, "P K"]] = Memo(most=64)


def segments_of(snapshot: FieldSnapshot, min_views: int) -> Segments:
    """Return the things in a snapshot's surface map; computed once for each surface."""
    surface = snapshot.surface
    return _segments.get(surface, min_views, lambda: segment(surface, surface.answerable(min_views)))


def prepare(snapshot: FieldSnapshot, encoder: ImageTextEncoder, config: Config) -> None:
    """Work out what all queries of a snapshot have in common, and load the kernels, so that the first need not.

    Who publishes snapshots calls this before others see them; of those made by hand the first query does it.
    """
    if not snapshot.surface.answerable(config.surface.min_views).any() or config.query.rule == "peak":
        return
    for place in Search(snapshot, QueryRequest(()), encoder, config).places(CANONICAL[:1]):
        if place is not None:
            place.heat.own(np.array([place.best.point]))


class Search:
    """Finds phrases among the surface points that a request leaves.

    Attributes:
        segments: the things in the map.
        use: which surface points may be asked.
    """

    def __init__(
        self, snapshot: FieldSnapshot, request: QueryRequest, encoder: ImageTextEncoder, config: Config
    ) -> None:
        self._snapshot, self._request, self._encoder, self._config = snapshot, request, encoder, config
        self.segments = segments_of(snapshot, config.surface.min_views)
        self._answerable = snapshot.surface.answerable(config.surface.min_views)
        self.use = self._answerable.copy()
        if request.region is not None:
            low, high = (np.array(corner, np.float32) for corner in request.region)
            self.use &= ((snapshot.surface.points >= low) & (snapshot.surface.points <= high)).all(axis=1)

    def places(
        self, prompts: Sequence[str], use: Bool[np.ndarray, " N"] | None = None, share: float = SHARE
    ) -> list[Place | None]:
        """Return where each prompt is matched among the points in `use` (None: all that may be asked)."""
        inside = self.use if use is None else use
        find = self._finder(inside, share)
        found: dict[str, Place | None] = {}
        groups: dict[tuple[str, ...], dict[str, str]] = {}
        for prompt in prompts:
            wanted, unwanted = split_negation(prompt)
            groups.setdefault(unwanted, {})[prompt] = wanted
        for unwanted, group in groups.items():
            negatives = self._texts((*CANONICAL, *self._request.negatives, *unwanted))
            found |= dict(zip(group, find(self._texts(tuple(group.values())), negatives), strict=True))
        return [found[prompt] for prompt in prompts]

    def _finder(self, use: Bool[np.ndarray, " N"], share: float) -> Finder:
        """Return what finds phrases, given their texts and those of their negatives, by the configured rule."""
        language, calibration = self._snapshot.language, self._encoder.calibration
        if self._config.query.rule == "peak":
            return lambda positives, negatives: localise_peak(language, positives, negatives, use)
        whole = np.array_equal(use, self._answerable)
        support = self._whole_support() if whole else Support.of(self.segments, use)
        texts = self._texts(calibration.null_phrases or CANONICAL)[: len(calibration.null_phrases)]
        nulls = Nulls(self._null_fits(support, texts, share, None if whole else use), texts.numpy())
        return lambda positives, negatives: localise(
            language, positives, negatives, self.segments, support, nulls, calibration, share
        )

    def _whole_support(self) -> Support:
        """Return the points that may be asked, by thing; once a surface."""
        key = self._config.surface.min_views
        return _supports.get(self._snapshot.surface, key, lambda: Support.of(self.segments, self._answerable))

    def _null_fits(
        self, support: Support, texts: Float[Tensor, "P D"], share: float, part: Bool[np.ndarray, " N"] | None
    ) -> Float32[np.ndarray, "P K"]:
        """Return the fits of the null phrases on a part of the points (None: all), worked out once a snapshot."""

        def made() -> Float32[np.ndarray, "P K"]:
            return null_fits(self._snapshot.language, support, texts, self._texts(CANONICAL), share)

        key = (self._config.surface.min_views, self._encoder.calibration.null_phrases, share)
        if part is None:
            return _nulls.get(self._snapshot, key, made)
        digest = blake2b(np.packbits(part).tobytes(), digest_size=16).digest()
        return _nulls_of_parts.get(self._snapshot, (*key, digest), made)

    def _texts(self, phrases: Sequence[str]) -> Float[Tensor, "P D"]:
        return torch.from_numpy(self._encoder.encode_texts(phrases))
