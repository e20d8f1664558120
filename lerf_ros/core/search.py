# SPDX-License-Identifier: Apache-2.0
"""Where the things are that a phrase may mean: one request on one snapshot. What it means for the asker: `query.py`."""

import threading
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.localise import Nulls, Place, localise, localise_peak
from lerf_ros.core.phrases import split_negation
from lerf_ros.core.relevancy import CANONICAL, log_odds
from lerf_ros.core.request import QueryRequest
from lerf_ros.core.segments import Segments, segment
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.support import SHARE, Support, null_fits

AT_ONCE = 8
"""Phrases a pass over the embeddings: with 30 scales a phrase's log-odds are several megabytes."""

Finder = Callable[[Float32[np.ndarray, "S N"], Float32[np.ndarray, " D"]], Place | None]

_segments: WeakKeyDictionary[FieldSnapshot, dict[int, Segments]] = WeakKeyDictionary()
_nulls: WeakKeyDictionary[FieldSnapshot, dict[object, Float32[np.ndarray, "P K"]]] = WeakKeyDictionary()
_lock = threading.Lock()


def segments_of(snapshot: FieldSnapshot, min_views: int) -> Segments:
    """Return the things in a snapshot's surface map; computed once for each."""
    with _lock:
        known = _segments.setdefault(snapshot, {})
        if min_views not in known:
            known[min_views] = segment(snapshot.surface, snapshot.surface.answerable(min_views))
        return known[min_views]


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
        self.use = snapshot.surface.answerable(config.surface.min_views)
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
            names = list(group)
            for some in (names[i : i + AT_ONCE] for i in range(0, len(names), AT_ONCE)):
                positives = self._texts([group[name] for name in some])
                odds = log_odds(self._snapshot.language.embeddings, positives, negatives).numpy()
                found |= {name: find(o, t) for name, o, t in zip(some, odds, positives.numpy(), strict=True)}
        return [found[prompt] for prompt in prompts]

    def _finder(self, use: Bool[np.ndarray, " N"], share: float) -> Finder:
        """Return what finds a phrase, given its log-odds and text, by the configured rule."""
        if self._config.query.rule == "peak":
            return lambda odds, _: localise_peak(odds, use)
        calibration, support = self._encoder.calibration, Support.of(self.segments, use)
        texts = self._encoder.encode_texts(calibration.null_phrases) if calibration.null_phrases else None
        fits = self._null_fits(use, support, share)

        def find(odds: Float32[np.ndarray, "S N"], text: Float32[np.ndarray, " D"]) -> Place | None:
            nulls = Nulls(fits, np.zeros(0, np.float32) if texts is None else texts @ text)
            return localise(odds, self.segments, support, nulls, calibration, share)

        return find

    def _null_fits(self, use: Bool[np.ndarray, " N"], support: Support, share: float) -> Float32[np.ndarray, "P K"]:
        """Return the fits of the null phrases on the points that are asked; of the whole map once a snapshot."""
        config, phrases = self._config, self._encoder.calibration.null_phrases

        def made() -> Float32[np.ndarray, "P K"]:
            null, canonical = self._texts(phrases or CANONICAL), self._texts(CANONICAL)
            return null_fits(self._snapshot.language.embeddings, support, null[: len(phrases)], canonical, share)

        whole = share == SHARE and np.array_equal(use, self._snapshot.surface.answerable(config.surface.min_views))
        if not whole:
            return made()
        key = (config.surface.min_views, phrases)
        with _lock:
            known = _nulls.setdefault(self._snapshot, {})
            if key not in known:
                known[key] = made()
            return known[key]

    def _texts(self, phrases: Sequence[str]) -> Float[Tensor, "P D"]:
        return torch.from_numpy(self._encoder.encode_texts(phrases))
