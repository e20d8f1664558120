# SPDX-License-Identifier: Apache-2.0
"""Keeps the language of the surface's points up to date, at a bounded cost a snapshot.

Points that are new, or that fusing has moved, are always evaluated. Of the others as many as there is time for, in
turn; all of them when the map is small enough, which maps of the default size are, or when training rests.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int16, Int64
from torch import Tensor

from lerf_ros.core.basis import TOLERANCE, Basis, Probes, coordinates, fitted, worst_error
from lerf_ros.core.snapshot import LanguageCache

log = logging.getLogger(__name__)

ROWS: Final = 500_000
"""Rows (points x scales) evaluated a snapshot; new points beyond that are evaluated all the same."""

CHUNK: Final = 65_536
"""Rows evaluated at once: what bounds the memory."""

SAMPLE: Final = 4096
"""Rows that the basis is fitted to, and as many others that it is judged by; but 128 points at least of each."""

MOVED: Final = 0.25
"""A point that fusing has moved by this share of a voxel is evaluated anew."""

Embed = Callable[[Float32[np.ndarray, "M 3"], Float32[np.ndarray, " S"]], Float[Tensor, "S M D"]]


@dataclass(frozen=True)
class _State:
    """What the last snapshot got: rows (never written again), and where each point was evaluated."""

    basis: Basis
    rows: Int16[Tensor, "S N R"]
    at: Float32[np.ndarray, "N 3"]
    turn: int = 0


class LanguageRefresher:
    """Makes the language of each snapshot from that of the last. One thread uses it: the one that trains.

    Args:
        embed: returns unit embeddings of points at physical scales, from the field as it is now.
        scales_m: the scales.
        probes: phrases that the compact basis must keep apart.
        limit: its largest rank.
        rows: evaluated a snapshot.
    """

    def __init__(
        self, embed: Embed, scales_m: Float32[np.ndarray, " S"], probes: Probes, limit: int, rows: int = ROWS
    ) -> None:
        self._embed, self._scales, self._probes, self._limit = embed, scales_m, probes, limit
        self._points_a_snapshot = max(rows // len(scales_m), 1)
        self._state: _State | None = None

    def refresh(
        self, points: Float32[np.ndarray, "N 3"], voxel_m: float, everything: bool = False
    ) -> LanguageCache:
        """Return the language of `points`, whose first ones were those of the last call if they lie where they lay.

        Args:
            points: of the surface, metres.
            voxel_m: their spacing.
            everything: evaluate all of them, however many there are.
        """
        old, stale = self._state, self._stale(points, voxel_m)
        if old is None or everything or len(points) <= self._points_a_snapshot or 2 * stale.sum() > len(points):
            due, turn, old = np.arange(len(points)), 0, None
        else:
            due, turn = self._due(stale, old.turn)
        basis = self._basis(points[due], None if old is None else old.basis)
        rows = torch.empty(len(self._scales), len(points), len(basis), dtype=torch.int16)
        at = points.copy()
        if old is not None:
            kept = np.ones(min(len(old.at), len(points)), bool)
            kept[due[due < len(kept)]] = False
            rows[:, : len(kept), : len(old.basis)] = old.rows[:, : len(kept)]
            rows[:, : len(kept), len(old.basis) :] = 0
            at[: len(kept)][kept] = old.at[: len(kept)][kept]
        self._write(points, due, basis, rows)
        self._state = _State(basis, rows, at, turn)
        return LanguageCache(self._scales, rows, basis)

    def _stale(self, points: Float32[np.ndarray, "N 3"], voxel_m: float) -> Bool[np.ndarray, " N"]:
        """Return which points have never been evaluated where they are."""
        stale = np.ones(len(points), bool)
        if self._state is not None:
            known = min(len(self._state.at), len(points))
            moved = np.abs(points[:known] - self._state.at[:known]).max(axis=1, initial=0)
            stale[:known] = moved > MOVED * voxel_m
        return stale

    def _due(self, stale: Bool[np.ndarray, " N"], turn: int) -> tuple[Int64[np.ndarray, " M"], int]:
        """Return what to evaluate: all that is stale, and of the rest whose turn it is; and whose it is next."""
        new, rest = np.flatnonzero(stale), np.flatnonzero(~stale)
        many = min(max(self._points_a_snapshot - len(new), self._points_a_snapshot // 4, 1), len(rest))
        chosen = rest[(np.searchsorted(rest, turn) + np.arange(many)) % max(len(rest), 1)]
        return np.concatenate([new, chosen]), int(chosen[-1]) + 1 if many else turn

    def _basis(self, points: Float32[np.ndarray, "M 3"], start: Float32[Tensor, "R0 D"] | None) -> Basis:
        """Return directions good enough for the field as it is now, as it is on a sample; `start` and more if given.

        Without it the last ones will do as long as they are good enough.
        """
        half = min(max(SAMPLE // len(self._scales), 128), len(points) // 2 + 1)
        some = points[np.linspace(0, len(points) - 1, min(2 * half, len(points))).astype(int)]
        sample = self._embed(some, self._scales).float()
        dim = sample.shape[-1]
        fit, check = (sample[:, first::2].reshape(-1, dim) for first in (0, 1))
        if start is None and self._state is not None:
            last = self._state.basis
            if len(last) and worst_error(check, last, self._probes) <= TOLERANCE:
                return last
        basis, error = fitted(fit, check, self._probes, self._limit, start)
        log.debug("language in %d of %d directions, relevancies wrong by up to %.4f", len(basis), dim, error)
        if error > TOLERANCE and len(basis) < dim:
            log.warning("relevancies may be wrong by %.3f: memory allows the language only %d of its %d directions; "
                        "lower surface.max_points or query.scales", error, len(basis), dim)
        return basis

    def _write(
        self, points: Float32[np.ndarray, "N 3"], due: Int64[np.ndarray, " M"], basis: Basis,
        rows: Int16[Tensor, "S N R"],
    ) -> None:  # fmt: skip
        """Evaluate the points that are due, a chunk at a time."""
        step = max(CHUNK // len(self._scales), 1)
        for start in range(0, len(due), step):
            part = due[start : start + step]
            found = coordinates(self._embed(points[part], self._scales), basis)
            if len(due) == len(points):
                rows[:, start : start + len(part)] = found
            else:
                rows[:, torch.from_numpy(part)] = found
