# SPDX-License-Identifier: Apache-2.0
"""What a changed part of the map means for an answer: STALE until it is relearned, and where and since when."""

from typing import Final

import numpy as np
from jaxtyping import Int64

from lerf_ros.core.snapshot import FieldSnapshot

STALE_SHARE: Final = 0.15
"""A thing is stale when newer images contradict this share of its points."""


def contradiction(snapshot: FieldSnapshot, rows: Int64[np.ndarray, " M"]) -> str:
    """Return where and since when newer images contradict a thing's points, "" if too few of them are."""
    stale = rows[snapshot.surface.stale[rows]]
    if len(stale) < STALE_SHARE * max(len(rows), 1):
        return ""
    return f"newer images contradict the map {_where(snapshot, stale)}; it is being relearned: look there, ask again"


def unsettled(snapshot: FieldSnapshot) -> str:
    """Return where the map is being relearned, "" if nowhere: what was not found may be there."""
    stale = np.flatnonzero(snapshot.surface.stale)
    return f"the map has changed {_where(snapshot, stale)} and is being relearned: ask again" if len(stale) else ""


def _where(snapshot: FieldSnapshot, stale: Int64[np.ndarray, " M"]) -> str:
    surface = snapshot.surface
    assert surface.stale_since_ns is not None
    x, y, z = np.median(surface.points[stale], axis=0)
    since_ns = int(surface.stale_since_ns[stale].min())
    ago_s = (snapshot.stamp_ns - since_ns) * 1e-9
    return f"at ({x:.3f}, {y:.3f}, {z:.3f}) m since {since_ns * 1e-9:.3f} s, {ago_s:.1f} s before the newest keyframe"
