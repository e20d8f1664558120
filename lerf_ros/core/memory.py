# SPDX-License-Identifier: Apache-2.0
"""How large a map may grow on this machine: worked out at the start, so that it is refused then, not killed later.
And how what is no longer used gets back to the system."""

import ctypes
import logging
from pathlib import Path
from typing import Final

import torch

from lerf_ros.config import Config
from lerf_ros.core.basis import RANK_STEP
from lerf_ros.errors import ConfigError

log = logging.getLogger(__name__)

SNAPSHOTS: Final = 3
"""At most at a time: the one being made, the newest, and one that a query began with."""

POINT_BYTES: Final = 400
"""A surface point: its cells (twice as many while they are merged), and its place in every snapshot."""

COORDINATE_BYTES: Final = 2
SHARE: Final = 0.8
"""Of what is available at the start; encoder, keyframes and fields take the rest."""

LEAST: Final = 4
"""A quarter of an encoder's directions must fit: ours need half of 128."""


def available_bytes() -> int | None:
    """Return how much memory can still be used, None where nothing tells: the system's, or this control group's."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = (int(Path("/sys/fs/cgroup", f"memory.{name}").read_text("ascii")) for name in ("max", "current"))
    except (OSError, ValueError):  # no group, or "max": no limit
        return free
    return min(free, max(limit - used, 0))


def rank_limit(config: Config, embed_dim: int, available: int | None) -> int:
    """Return how many directions of an embedding the map's language may keep, were the map to grow to its limit.

    All of them, where `surface.max_points` x `query.scales` x `embed_dim` x 2 bytes fit three times (the snapshot being
    made, the newest, and one that a query still reads) into four fifths of the memory available. Fewer, with a warning,
    where they do not; a map needs fewer as a rule (tens of them).

    Raises:
        ConfigError: not even a quarter of them fit.
    """
    points, scales = config.surface.max_points, config.query.scales
    if available is None:
        return embed_dim
    room = int(SHARE * available) - points * POINT_BYTES
    rank = room // (SNAPSHOTS * points * scales * COORDINATE_BYTES)
    if rank >= embed_dim:
        return embed_dim
    wanted = (points * POINT_BYTES + SNAPSHOTS * points * scales * embed_dim * COORDINATE_BYTES) / 2**20
    told = (f"surface.max_points = {points} at query.scales = {scales} may take {wanted:.0f} MiB with this encoder, "
            f"and {available / 2**20:.0f} MiB are available")  # fmt: skip
    if rank < max(embed_dim // LEAST, 1):
        fitting = int(SHARE * available) // (
            POINT_BYTES + SNAPSHOTS * scales * COORDINATE_BYTES * max(embed_dim // LEAST, 1)
        )
        raise ConfigError(f"{told}: set surface.max_points to {fitting} at most, or lower query.scales")
    rank = max(rank // RANK_STEP * RANK_STEP, min(embed_dim, RANK_STEP))
    log.warning("%s: language is kept in %d of %d directions at most", told, rank, embed_dim)
    return rank


def return_free_memory() -> None:
    """Hand memory that nothing uses back to the system, where allocators keep it for later (glibc's, torch's CUDA)."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
