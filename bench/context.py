# SPDX-License-Identifier: Apache-2.0
"""What every part is given: sizes, threads, the peer, and what the machine can do."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from bench.peer import Peer
from bench.rows import Row


@dataclass(frozen=True)
class Options:
    """How a run was asked for.

    Attributes:
        threads: of ours and of the peer.
        quick: tiny sizes: that everything runs, not what it takes.
        capture: a recorded capture (nerfstudio's transforms.json), for `psnr`.
        seeds: demonstrations to run.
        ours_s, peer_s: training times of `psnr`, seconds.
        short_psnr: only ours without language, and the peer with 1024 rays.
    """

    threads: int
    quick: bool = False
    capture: Path | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    ours_s: float = 120.0
    peer_s: float = 600.0
    short_psnr: bool = False


@dataclass
class Context:
    """Handed to each part in turn.

    Attributes:
        folder: for whatever a part writes: logs, pictures.
        peer_python: interpreter of the peer environment; None: there is none.
    """

    options: Options
    folder: Path
    peer_python: Path | None = None
    _open: list[Peer] = field(default_factory=list)

    @property
    def threads(self) -> int:
        """CPU threads."""
        return self.options.threads

    @property
    def quick(self) -> bool:
        """Whether sizes are tiny."""
        return self.options.quick

    def size(self, full: int, quick: int) -> int:
        """Return a size: the full one, or the tiny one."""
        return quick if self.quick else full

    @property
    def changes(self) -> dict[str, object]:
        """Configuration that all parts share: the defaults; with tiny sizes, few tiles an image."""
        return {"pyramid.levels": 2, "pyramid.min_tile": 0.4} if self.quick else {}

    @cached_property
    def peer(self) -> Peer | None:
        """The peer process, started when first asked for."""
        if self.peer_python is None:
            return None
        self._open.append(Peer(self.peer_python, self.folder / "peer.log"))
        return self._open[-1]

    def close(self) -> None:
        """End the peer; a next use starts a new one."""
        for peer in self._open:
            peer.stop()
        self._open.clear()
        self.__dict__.pop("peer", None)

    def machine(self) -> dict[str, Any]:
        """Return what the part `machine` measured; empty if it has not run."""
        file = self.folder / "machine.json"
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return found

    def limit(self, what: str, threads: int) -> float | None:
        """Return a measured limit of the machine (a key of `machine.json`) at so many threads, if there is one."""
        value = self.machine().get(what, {}).get(str(threads))
        return None if value is None else float(value)


class Part(Protocol):
    """A module of `bench.parts`."""

    def run(self, context: Context) -> Iterator[Row]:
        """Measure, and yield each row when it is known."""
