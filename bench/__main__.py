# SPDX-License-Identifier: Apache-2.0
"""`python -m bench`: measure, keep every row in OUT/bench.json, print the table, draw the curves."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from bench.context import Context, Options
from bench.peer import HOW, ROOT, find_python
from bench.runs import PARTS, choose, run_parts, source_hash
from bench.store import RowStore, StoreError, read_rows, read_seconds
from bench.table import markdown, show

OUT = Path("out")
WIDTH = 200


def main(
    only: Annotated[str, typer.Option(help=f"Parts, with commas between: {', '.join(PARTS)}")] = "",
    quick: Annotated[bool, typer.Option(help="Tiny sizes: does everything run? The numbers say nothing")] = False,
    slow: Annotated[bool, typer.Option(help="The part psnr, too (half an hour and more)")] = False,
    fresh: Annotated[bool, typer.Option(help="Forget what an earlier run measured")] = False,
    out: Annotated[Path, typer.Option(help="Folder for bench.json and bench/ (machine.json, pictures, logs)")] = OUT,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads, of ours and the peer's")] = os.cpu_count() or 1,
    peer_python: Annotated[Path | None, typer.Option(help="Python with nerfstudio (.venv-peers/bin/python)")] = None,
    capture: Annotated[
        Path | None, typer.Option(envvar="LERF_BENCH_CAPTURE", help="Recorded capture for psnr (transforms.json)")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1.0, help="psnr: training time of ours")] = 120.0,
    peer_seconds: Annotated[float, typer.Option(min=1.0, help="psnr: training time of each of the peer's")] = 600.0,
    short_psnr: Annotated[
        bool, typer.Option(help="psnr: only ours without language, and the peer with 1024 rays a step")
    ] = False,
    seeds: Annotated[str, typer.Option(help="demo: scenes")] = "0,1,2",
    as_markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Print the tables of this bench.json; run nothing")
    ] = None,
) -> None:  # fmt: skip
    """Measure what docs/benchmarks.md describes. An interrupted run goes on where it was."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in the demonstration; read when torch is loaded, later
    _log_to(Console(stderr=True))
    try:
        if as_markdown is not None:
            typer.echo(markdown(read_rows(as_markdown), read_seconds(as_markdown.parent / "bench")), nl=False)
            return
        parts = choose([name for name in only.split(",") if name], slow)
        chosen = tuple(int(seed) for seed in seeds.split(",") if seed)
        options = Options(threads, quick, capture, chosen, seconds, peer_seconds, short_psnr)
        store = RowStore(out)
    except (StoreError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    if fresh:
        store.forget(parts)
    context = Context(options, store.folder, find_python(peer_python))
    if context.peer_python is None:
        logging.getLogger("bench").warning(HOW)
    _measure(context, store, parts)


def _log_to(console: Console) -> None:
    """Show what we do; of libraries, warnings."""
    if not console.is_terminal:
        console.width = WIDTH  # a log has no edge
    handler = RichHandler(console=console, show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("bench").setLevel(logging.INFO)


def _measure(context: Context, store: RowStore, parts: list[str]) -> None:
    from bench.plots import draw_all

    try:
        wrong = run_parts(context, store, parts, source_hash(ROOT))
    except KeyboardInterrupt as stop:
        Console(stderr=True).print(f"stopped; {len(store.rows)} rows in {store.rows_file}; the same command goes on")
        raise typer.Exit(130) from stop
    finally:
        context.close()
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    show(store.rows, console, context.peer_python is not None)
    pictures = draw_all(store.rows, store.folder)
    Console(stderr=True).print(f"{store.rows_file}; {len(pictures)} pictures in {store.folder}")
    for part, error in wrong.items():
        Console(stderr=True).print(f"[red]{part} failed[/]: {error}")
    if wrong:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
