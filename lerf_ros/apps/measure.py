# SPDX-License-Identifier: Apache-2.0
"""`measure`: how well a saved map renders the views of a capture that were held out of it."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from lerf_ros.apps.terminal import fail, to_json


def run(
    map_dir: Annotated[Path, typer.Argument(metavar="MAP", help="Folder of a saved map")],
    dataset: Annotated[Path, typer.Argument(help="The capture it was made from, stamps and all")],
    holdout: Annotated[int, typer.Option(min=1, help="As when it was mapped: that many views, evenly spread")] = 8,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Render held-out views with a map saved by `train --map` or by the node's `~/save_map`, and compare.

    Example: python -m lerf_ros replay CAPTURE --holdout 8 --stamps recorded ...; then measure maps/replayed CAPTURE
    """
    from lerf_ros.apps.map_config import field_config
    from lerf_ros.core.field_view import FieldView
    from lerf_ros.core.mapfile import load_map, read_info
    from lerf_ros.data.transforms_json import held_out_indices, read_capture
    from lerf_ros.errors import LerfError
    from lerf_ros.eval.reconstruction import reconstruction

    try:
        info = read_info(map_dir)
        snapshot = load_map(map_dir, None)
        capture = read_capture(dataset)
        images = [capture[i].load() for i in held_out_indices(len(capture), holdout)]
        found = reconstruction(FieldView(snapshot.weights, field_config(info), threads=threads), images)
    except LerfError as error:
        raise fail("measure", str(error)) from error
    result = {**dataclasses.asdict(found), "keyframes": snapshot.keyframes, "steps": snapshot.step}
    if as_json:
        sys.stdout.write(to_json(result))
        return
    for key, value in result.items():
        text = ", ".join(f"{v:.1f}" for v in value) if isinstance(value, (tuple, list)) else f"{value:.4g}"
        sys.stdout.write(f"{key:20s} {text}\n")
