# SPDX-License-Identifier: Apache-2.0
"""What every verb shows and reads the same way: progress, errors, `--set section.key=value`."""

import ast
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress


def progress() -> "Progress":
    """Return a progress display on stderr, so that stdout stays for answers."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def fail(verb: str, message: str) -> typer.Exit:
    """Print what is wrong and return the exit to raise (code 2)."""
    sys.stderr.write(f"{verb}: {message}\n")
    return typer.Exit(2)


def to_json(document: Mapping[str, object], indent: int | None = None) -> str:
    """Return JSON that every parser takes: a number that is not finite becomes null."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in document.items()}
    return json.dumps(finite, indent=indent, allow_nan=False) + "\n"


def overrides(assignments: Sequence[str]) -> dict[str, object]:
    """Return `section.key=value` assignments as a mapping; values as Python literals, else as text.

    Raises:
        typer.BadParameter: an assignment has no `=`.
    """
    out: dict[str, object] = {}
    for each in assignments:
        key, equals, text = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each!r} is not section.key=value")
        try:
            out[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            out[key] = text
    return out
