# SPDX-License-Identifier: Apache-2.0
"""Rows on the disk after every one of them, so that nothing measured is lost, and a run can go on."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.rows import Row, from_dict

FINISHED = "finished.json"


class StoreError(RuntimeError):
    """The files of an earlier run cannot be used."""


class RowStore:
    """`bench.json` (the rows) and `bench/finished.json` (which parts ended, and under which settings).

    Args:
        folder: where both lie.

    Raises:
        StoreError: there is a `bench.json` that no run of ours wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.rows_file = folder / "bench.json"
        self.folder = folder / "bench"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._finished_file = self.folder / FINISHED
        self._rows = read_rows(self.rows_file) if self.rows_file.exists() else []
        self._finished: dict[str, Any] = _read(self._finished_file, {}) if self._finished_file.exists() else {}

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows so far, in the order of their parts."""
        return tuple(self._rows)

    def forget(self, parts: Iterable[str]) -> None:
        """Drop the rows of parts, and that they ended."""
        gone = set(parts)
        self._rows = [row for row in self._rows if row.part not in gone]
        self._finished = {part: how for part, how in self._finished.items() if part not in gone}
        self._save()

    def is_finished(self, part: str, settings: Mapping[str, Any]) -> bool:
        """Return whether a part ended under these settings."""
        return bool(self._finished.get(part, {}).get("settings") == dict(settings))

    def begin(self, part: str) -> None:
        """Drop what an earlier, perhaps interrupted, run of a part left."""
        self.forget([part])

    def add(self, part: str, row: Row) -> None:
        """Keep a row, on the disk at once.

        Raises:
            ValueError: there is a row of that name already.
        """
        if any(row.name == other.name for other in self._rows):
            raise ValueError(f"two rows are named {row.name}")
        self._rows.append(replace(row, part=part))
        self._save()

    def finish(self, part: str, seconds: float, settings: Mapping[str, Any]) -> None:
        """Remember that a part ended, under which settings, and how long it took."""
        self._finished[part] = {"settings": dict(settings), "seconds": round(seconds, 1)}
        self._save()

    def _save(self) -> None:
        _write(self.rows_file, [row.as_dict() for row in self._rows])
        _write(self._finished_file, self._finished)


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a `bench.json`.

    Raises:
        StoreError: it is none.
    """
    try:
        return [from_dict(each) for each in _read(path, [])]
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} holds no rows of a benchmark ({error}): move it, or give another --out") from error


def read_seconds(folder: Path) -> dict[str, float]:
    """Return how long each part took that ended, from the folder `bench` of a run; empty where there is none.

    Raises:
        StoreError: its file cannot be read.
    """
    file = folder / FINISHED
    return {part: float(how["seconds"]) for part, how in _read(file, {}).items()} if file.exists() else {}


def _read(path: Path, empty: Any) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}): move it away, or give another --out") from error
    if not isinstance(found, type(empty)):
        raise StoreError(f"{path} was not written by a benchmark: move it away, or give another --out")
    return found


def _write(path: Path, value: Any) -> None:
    """Replace the file whole: a crash leaves the old one or the new one."""
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(draft, path)
