# SPDX-License-Identifier: Apache-2.0
"""`query`: ask a saved map where things are."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from lerf_ros.apps.terminal import fail

if TYPE_CHECKING:
    from jaxtyping import Float32

    from lerf_ros.core.query import PromptAnswer
    from lerf_ros.core.snapshot import FieldSnapshot

PICTURES = (".png", ".jpg", ".jpeg")
STYLES = {"FOUND": "bold green", "AMBIGUOUS": "yellow", "NOT_FOUND": "red", "STALE": "yellow"}
PANEL = (640, 480)


def run(
    map_folder: Annotated[Path, typer.Argument(metavar="MAP", help="Folder of a saved map")],
    phrases: Annotated[list[str], typer.Argument(metavar="PHRASE...", help="What to look for, e.g. 'red mug'")],
    cloud: Annotated[Path | None, typer.Option(help="Write all points with their relevancies: FILE.ply")] = None,
    image: Annotated[Path | None, typer.Option(help="Draw the map and the heat of every phrase: FILE.png")] = None,
    within: Annotated[str, typer.Option(help="An object; the phrases are then parts looked for on it only")] = "",
    negative: Annotated[list[str] | None, typer.Option(help="A phrase the others must beat; may be repeated")] = None,
    grasps: Annotated[bool, typer.Option(help="Also plan grasps")] = False,
    model: Annotated[str, typer.Option(help="Encoder to use; default: the one the map was made with")] = "",
    pretrained: Annotated[str, typer.Option(help="Its open_clip tag or checkpoint file")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table")] = False,
) -> None:
    """Ask a saved map where things are, in words.

    Exit status 0 whatever the answers are; 2 for a map or request that cannot be used.
    """
    from lerf_ros.config import from_flat
    from lerf_ros.core.encoders import load_encoder
    from lerf_ros.core.mapfile import load_map, read_info
    from lerf_ros.core.query import QueryRequest, answer, heat_maps
    from lerf_ros.errors import LerfError, MapFileError

    if image and image.suffix.lower() not in PICTURES:
        raise fail("query", f"--image {image}: the name must end in {', '.join(PICTURES)}")
    request = QueryRequest(tuple(phrases), tuple(negative or ()), within, plan_grasps=grasps)
    try:
        made_with = read_info(map_folder).config
        stored = {k: v for k, v in made_with.items() if k.startswith(("encoder.", "query.", "grasp.", "surface."))}
        if model or pretrained:
            stored |= {"encoder.model": model or stored["encoder.model"], "encoder.pretrained": pretrained}
        config = from_flat(stored)
        encoder = load_encoder(config.encoder)
        snapshot = load_map(map_folder, encoder)
        if not len(snapshot.surface):
            raise MapFileError(f"map {map_folder} has no surface points: nothing in it can be asked for")
        answers = answer(snapshot, request, encoder, config, snapshot.stamp_ns)
        heats = heat_maps(snapshot, request, encoder, config) if cloud or image else {}
        if cloud:
            _write_cloud(cloud, snapshot, heats)
        if image:
            _draw(snapshot, answers, heats, config.surface.min_views, encoder.name).save(image)
    except (LerfError, OSError) as error:
        raise fail("query", str(error)) from error
    if as_json:
        print(json.dumps({"map": str(map_folder), "encoder": encoder.name, "frame_id": snapshot.frame_id,
                          "step": snapshot.step, "answers": [_as_dict(a) for a in answers]}, ensure_ascii=False))
    else:
        _print_table(answers, snapshot, encoder.name)


def _as_dict(found: "PromptAnswer") -> dict[str, Any]:
    def rounded(values: Any) -> list[float] | None:
        return None if values is None else [round(float(v), 5) for v in np.asarray(values).ravel()]

    box = found.extent
    extent = box and {name: rounded(getattr(box, name)) for name in ("centre", "size", "quaternion")}
    return {
        "prompt": found.prompt, "status": found.status.name, "probability": round(found.probability, 4),
        "relevancy": round(found.relevancy, 4), "scale_m": round(found.scale_m, 4), "message": found.message,
        "argmax": rounded(found.argmax_point), "points": 0 if found.points is None else len(found.points),
        "extent": extent,
        "targets": [
            {"position": rounded(g.T_world_tcp[:3, 3]), "approach": rounded(g.T_world_tcp[:3, 2]),
             "closing_axis": rounded(g.T_world_tcp[:3, 1]), "width_m": round(g.width_m, 4), "score": round(g.score, 4)}
            for g in found.targets
        ],
    }  # fmt: skip


def _print_table(answers: "tuple[PromptAnswer, ...]", snapshot: "FieldSnapshot", encoder: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{len(snapshot.surface)} points in {snapshot.frame_id}, step {snapshot.step}, {encoder}")
    for name, justify in (("phrase", "left"), ("status", "left"), ("prob.", "right"), ("relev.", "right"),
                          ("where x y z [m]", "right"), ("size [cm]", "right"), ("grasp [cm]", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for a in answers:
        where = "" if a.argmax_point is None else " ".join(f"{v:.3f}" for v in a.argmax_point)
        size = "" if a.extent is None else " x ".join(f"{100 * v:.1f}" for v in a.extent.size)
        grasp = f"{100 * a.targets[0].width_m:.1f} open" if a.targets else ""
        name = a.status.name
        table.add_row(Text(a.prompt), Text(name, STYLES.get(name, "magenta")), f"{a.probability:.2f}",
                      f"{a.relevancy:.2f}", where, size, grasp)
    console = Console()
    console.print(table)
    for a in answers:
        if a.message:
            console.print(Text.assemble((a.prompt, "bold"), f": {a.message}"))


def _write_cloud(path: Path, snapshot: "FieldSnapshot", heats: "dict[str, Float32[np.ndarray, ' N']]") -> None:
    from lerf_ros.core.ply import write_ply

    scalars: dict[str, np.ndarray] = {}
    for phrase, values in heats.items():
        stem = name = "relevancy_" + (re.sub(r"[^a-z0-9]+", "_", phrase.lower()).strip("_") or "phrase")
        while name in scalars:
            name = f"{stem}_{len(scalars)}"
        scalars[name] = values
    surface = snapshot.surface
    nx, ny, nz = surface.normals.T
    write_ply(path, surface.points, surface.colours, nx=nx, ny=ny, nz=nz, views=surface.views, **scalars)


def _draw(
    snapshot: "FieldSnapshot", answers: "tuple[PromptAnswer, ...]", heats: "dict[str, Float32[np.ndarray, ' N']]",
    min_views: int, encoder: str,
) -> Any:  # fmt: skip
    """Return a page: the map in colour, then one panel a phrase."""
    from lerf_ros.apps import point_view as pv

    surface = snapshot.surface
    usable = surface.answerable(min_views)
    shown = usable if usable.any() else ~usable
    view = pv.overview(surface.points[shown], surface.normals[shown], *PANEL)
    plain = pv.draw_points(view, surface.points, pv.shaded(surface, surface.colours.astype(float)), surface.voxel_m)
    panels = [pv.titled(plain, "Map", f"{len(surface)} points, {snapshot.keyframes} keyframes, step {snapshot.step}")]
    for a in answers:
        if a.prompt not in heats:
            continue
        picture = pv.draw_points(view, surface.points, pv.heat(surface, heats[a.prompt], usable), surface.voxel_m)
        note = f"{a.status.name}, probability {a.probability:.2f}, relevancy {a.relevancy:.2f} at {a.scale_m:.2f} m"
        panel = pv.titled(picture, a.prompt, note)
        overlay = panel.crop((0, panel.height - PANEL[1], *panel.size))
        pv.mark(overlay, view, a.extent, a.argmax_point)
        panel.paste(overlay, (0, panel.height - PANEL[1]))
        panels.append(panel)
    return pv.sheet(panels, f"encoder {encoder}; heat: nothing at 0.5 (no better than 'object', 'things', ...)")
