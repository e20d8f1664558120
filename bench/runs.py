# SPDX-License-Identifier: Apache-2.0
"""Runs parts one after another, keeping every row as it comes; what ended before is not run again."""

import hashlib
import importlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from bench.context import Context, Part
from bench.rows import Row
from bench.store import RowStore

PARTS: Final = {
    "machine": "what the machine can do: bandwidth, look-ups, FLOP/s",
    "hashgrid": "hash grid, forward and backward",
    "training": "whole training steps",
    "pyramid": "embedding an image's tiles",
    "publish": "snapshots, relevancy, clouds",
    "query": "queries, idle and while training",
    "growth": "step time over 10 to 1,000 keyframes",
    "views": "what is seen of a table after a few views, by who chooses them",
    "memory": "the node's memory over 200 keyframes",
    "node": "the node over DDS: callbacks, latency, queries",
    "demo": "the demonstration, three scenes",
    "psnr": "PSNR after a time on a real capture (half an hour and more)",
}
"""In the order they run."""

MODULES: Final = {"psnr": "quality"}
SLOW: Final = ("psnr",)
PEERED: Final = ("hashgrid", "training", "psnr")
"""Parts that are run again when the peer environment has come or gone."""

SOURCES: Final = ("lerf_ros", "bench")
log = logging.getLogger("bench")


def choose(only: Sequence[str], slow: bool) -> list[str]:
    """Return the parts to run, in order: those named, or all that are not slow.

    Raises:
        ValueError: there is no such part.
    """
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise ValueError(f"no part is called {unknown[0]!r}: choose from {', '.join(PARTS)}")
    return [name for name in PARTS if (name in only if only else slow or name not in SLOW)]


def settings(context: Context, part: str, source: str) -> dict[str, Any]:
    """Return what a result depends on: with other settings, a part that ended is run again."""
    out: dict[str, Any] = {"threads": context.threads, "quick": context.quick, "source": source}
    if part in PEERED:
        out["peer"] = context.peer_python is not None
    if part == "psnr":
        asked = context.options
        out |= {"capture": asked.capture is not None, "times": [asked.ours_s, asked.peer_s]}
    if part == "demo":
        out["seeds"] = list(context.options.seeds)
    return out


def run_parts(context: Context, store: RowStore, parts: Sequence[str], source: str) -> dict[str, str]:
    """Run parts that have not ended under these settings; return what went wrong, by part.

    A part that fails does not keep the others from running; its rows so far are kept.
    """
    wrong: dict[str, str] = {}
    for part in parts:
        how = settings(context, part, source)
        if store.is_finished(part, how):
            log.info("%s: done before", part)
            continue
        log.info("%s: %s", part, PARTS[part])
        begin = time.monotonic()
        store.begin(part)
        try:
            for found in _module(part).run(context):
                row = _marked(found) if context.quick else found
                store.add(part, row)
                log.info("  %s", shown(row))
            store.finish(part, time.monotonic() - begin, how)
        except Exception as error:
            log.exception("%s failed", part)
            wrong[part] = f"{type(error).__name__}: {error}"
        finally:
            context.close()
    return wrong


def _marked(row: Row) -> Row:
    """Return a row of tiny sizes as what it is: nothing to hold against a target."""
    return replace(row, target=None, note=", ".join(filter(None, ("tiny sizes", row.note))))


def shown(row: Row) -> str:
    """Return a row as a line of the log."""
    if row.value is None:
        return f"{row.name}: not measured ({row.note})"
    against = "" if row.ratio is None else f"; {row.peer_name}: {row.peer:.4g}, ratio {row.ratio:.3g}"
    return f"{row.name} = {row.value:.4g} {row.unit}{against}"


def source_hash(root: Path) -> str:
    """Return a hash of the code that is measured and of the code that measures."""
    digest = hashlib.sha256()
    for path in _sources(root):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(root: Path) -> Iterator[Path]:
    for folder in SOURCES:
        yield from sorted((root / folder).rglob("*.py"))


def _module(part: str) -> Part:
    return cast(Part, importlib.import_module(f"bench.parts.{MODULES.get(part, part)}"))
