# SPDX-License-Identifier: Apache-2.0
"""Rows as tables: on the terminal, and in Markdown for docs/benchmarks.md."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from bench.peer import HOW
from bench.rows import Row

HEADERS = ("measurement", "value", "spread", "unit", "peer", "ratio", "roofline", "threads", "n", "target", "note")


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells, in the order of `HEADERS`."""
    note = ", ".join(filter(None, (f"peer: {row.peer_name}" if row.peer_name else "", row.note)))
    return (
        row.name, number(row.value), number(row.spread), row.unit, number(row.peer), number(row.ratio),
        "" if row.roofline is None else f"{100 * row.roofline:.0f} %", str(row.threads), str(row.n), target(row), note,
    )  # fmt: skip


def number(value: float | None) -> str:
    """Return a number with three digits that count; nothing for None."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def target(row: Row) -> str:
    """Return what was wanted, and whether it is reached."""
    if row.target is None:
        return ""
    sign = ">=" if row.target.of == "ratio" or row.better == "higher" else "<="
    what = "ratio " if row.target.of == "ratio" else ""
    verdict = {True: "reached", False: "missed", None: "not compared"}[row.meets]
    return f"{what}{sign} {number(row.target.limit)}: {verdict}"


def show(rows: Sequence[Row], console: Console, peers: bool) -> None:
    """Print a table a part, targets first."""
    aims = [row for row in rows if row.target is not None]
    for title, group in (("targets", aims), *_by_part(rows)):
        if not group:
            continue
        _print(title, group, console)
    console.print("ratio: how many times better ours is")
    console.print("spread: inter-quartile range; of fewer than four samples, largest less smallest")
    if not peers:
        console.print(HOW)


def _print(title: str, rows: Sequence[Row], console: Console) -> None:
    """Print one table, without the columns that hold nothing."""
    every = [cells(row) for row in rows]
    kept = [k for k in range(len(HEADERS)) if any(line[k] for line in every)]
    table = Table(title=title, title_justify="left")
    for k in kept:
        table.add_column(HEADERS[k], no_wrap=HEADERS[k] != "note", overflow="fold")
    for row, line in zip(rows, every, strict=True):
        table.add_row(*(line[k] for k in kept), style={True: "green", False: "red", None: None}[row.meets])
    console.print(table)


def markdown(rows: Sequence[Row], seconds: Mapping[str, float]) -> str:
    """Return the tables for docs/benchmarks.md."""
    aims = [row for row in rows if row.target is not None]
    parts = [_markdown("Targets", aims)] if aims else []
    for part, group in _by_part(rows):
        took = f" ({seconds[part]:.0f} s)" if part in seconds else ""
        parts.append(_markdown(f"Part `{part}`{took}", group))
    return "\n\n".join(parts) + "\n"


def _markdown(title: str, rows: Iterable[Row]) -> str:
    lines = [f"### {title}", "", "| " + " | ".join(HEADERS) + " |", "| " + " | ".join("---" for _ in HEADERS) + " |"]
    lines += ["| " + " | ".join(cell.replace("|", "/") for cell in cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def _by_part(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    return [(part, list(group)) for part, group in groupby(rows, key=lambda row: row.part)]
