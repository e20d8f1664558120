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
    from collections.abc import Sequence

    from jaxtyping import Float32
    from PIL.Image import Image

    from lerf_ros.apps.field_picture import Shot
    from lerf_ros.apps.viewpoint import Viewpoint
    from lerf_ros.config import Config
    from lerf_ros.core.encoders import ImageTextEncoder
    from lerf_ros.core.extent import Extent
    from lerf_ros.core.request import PromptAnswer
    from lerf_ros.core.snapshot import FieldSnapshot

PICTURES = (".png", ".jpg", ".jpeg")
STYLES = {"FOUND": "bold green", "AMBIGUOUS": "yellow", "NOT_FOUND": "red", "STALE": "yellow"}
PANEL = (640, 480)
POSE_HELP = (
    "x,y,z,qx,qy,qz,qw (metres; camera to world, ROS optical axes), or FILE.json with T_world_cam and intrinsics"
)


def run(
    map_folder: Annotated[Path, typer.Argument(metavar="MAP", help="Folder of a saved map")],
    phrases: Annotated[list[str], typer.Argument(metavar="PHRASE...", help="What to look for, e.g. 'red mug'")],
    cloud: Annotated[Path | None, typer.Option(help="Write all points with their relevancies: FILE.ply")] = None,
    image: Annotated[Path | None, typer.Option(help="Draw the map and the heat of every phrase: FILE.png")] = None,
    render: Annotated[Path | None, typer.Option(help="Render the field and the heat of phrases: FILE.png")] = None,
    view: Annotated[int | None, typer.Option(help="Keyframe to render from; default: the best one")] = None,
    pose: Annotated[str, typer.Option(help=f"Render from {POSE_HELP}")] = "",
    width: Annotated[int, typer.Option(min=64, max=4096, help="Width of each rendered picture, pixels")] = 480,
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
    from lerf_ros.core.query import QueryRequest, answer, heat_maps
    from lerf_ros.errors import LerfError

    _check_options({"--image": image, "--render": render}, view, pose)
    request = QueryRequest(tuple(phrases), tuple(negative or ()), within, plan_grasps=grasps)
    try:
        config, encoder, snapshot = _opened(map_folder, model, pretrained)
        answers = answer(snapshot, request, encoder, config, snapshot.stamp_ns)
        heats = heat_maps(snapshot, request, encoder, config) if cloud or image else {}
        if cloud:
            _write_cloud(cloud, snapshot, heats)
        if image:
            _draw(snapshot, answers, heats, config.surface.min_views, encoder.name).save(image)
        shot = None
        if render:
            shot = _shoot(map_folder, snapshot, answers, encoder, request.negatives, view, pose, width)
            _page(shot, answers, encoder.name).save(render)
    except (LerfError, OSError) as error:
        raise fail("query", str(error)) from error
    if as_json:
        document = {"map": str(map_folder), "encoder": encoder.name, "frame_id": snapshot.frame_id,
                    "step": snapshot.step, "answers": [_as_dict(a) for a in answers]}  # fmt: skip
        if shot is not None:
            document["render"] = _camera(render, shot.view)
        print(json.dumps(document, ensure_ascii=False))
    else:
        _print_table(answers, snapshot, encoder.name)


def _check_options(pictures: dict[str, Path | None], view: int | None, pose: str) -> None:
    for name, path in pictures.items():
        if path and path.suffix.lower() not in PICTURES:
            raise fail("query", f"{name} {path}: the name must end in {', '.join(PICTURES)}")
        if path and not path.absolute().parent.is_dir():
            raise fail("query", f"{name} {path}: there is no folder {path.absolute().parent}")
    if view is not None and pose:
        raise fail("query", "give --view or --pose, not both: each says where to render from")
    if (view is not None or pose) and pictures["--render"] is None:
        raise fail("query", "--view and --pose say where to render from; add --render FILE.png to say what to write")


def _opened(folder: Path, model: str, pretrained: str) -> "tuple[Config, ImageTextEncoder, FieldSnapshot]":
    """Return how to query the map, its encoder, and the map."""
    from lerf_ros.apps.map_config import asking_config
    from lerf_ros.core.encoders import load_encoder
    from lerf_ros.core.mapfile import load_map, read_info
    from lerf_ros.errors import MapFileError

    info = read_info(folder)
    changes = {"model": model or str(info.config["encoder.model"]), "pretrained": pretrained}
    config = asking_config(info, **(changes if model or pretrained else {}))
    encoder = load_encoder(config.encoder)
    snapshot = load_map(folder, encoder)
    if not len(snapshot.surface):
        raise MapFileError(f"map {folder} has no surface points: nothing in it can be asked for")
    return config, encoder, snapshot


def _shoot(
    folder: Path, snapshot: "FieldSnapshot", answers: "Sequence[PromptAnswer]", encoder: "ImageTextEncoder",
    negatives: "Sequence[str]", view: int | None, pose: str, width: int,
) -> "Shot":  # fmt: skip
    """Render the field of a map from a keyframe, a given pose, or where most answers are seen."""
    import torch

    from lerf_ros.apps import viewpoint
    from lerf_ros.apps.field_picture import SAMPLES, shoot
    from lerf_ros.apps.map_config import field_config
    from lerf_ros.core.field_view import FieldView
    from lerf_ros.core.mapfile import read_info

    made_with = field_config(read_info(folder))
    field = FieldView(snapshot.weights, made_with, encoder.embed_dim, torch.get_num_threads(), SAMPLES)
    if pose:
        chosen = viewpoint.of_text(field, pose)
    elif view is not None:
        chosen = viewpoint.of_keyframe(field, view)
    else:
        found = [a.argmax_point for a in answers if a.argmax_point is not None]
        chosen = viewpoint.best_keyframe(field, np.array(found).reshape(-1, 3))
    viewpoint.check_sight(chosen, snapshot.surface)
    return shoot(field, chosen.resized(width), answers, encoder, negatives)


def _page(shot: "Shot", answers: "Sequence[PromptAnswer]", encoder: str) -> "Image":
    from lerf_ros.apps.field_picture import page

    return page(shot, answers, f"encoder {encoder}")


def _camera(file: Path | None, view: "Viewpoint") -> dict[str, Any]:
    """Return what was rendered from where, in the form that --pose reads."""
    import dataclasses

    return {"file": str(file), "name": view.name, "T_world_cam": view.T_world_cam.round(6).tolist(),
            "intrinsics": dataclasses.asdict(view.intrinsics)}  # fmt: skip


def _as_dict(found: "PromptAnswer") -> dict[str, Any]:
    return {
        "prompt": found.prompt, "status": found.status.name, "probability": round(found.probability, 4),
        "relevancy": round(found.relevancy, 4), "scale_m": round(found.scale_m, 4), "message": found.message,
        "argmax": _rounded(found.argmax_point), "points": 0 if found.points is None else len(found.points),
        "extent": _box(found.extent),
        "instances": [
            {"probability": round(each.probability, 4), "relevancy": round(each.relevancy, 4),
             "scale_m": round(each.scale_m, 4), "argmax": _rounded(each.point), "extent": _box(each.extent)}
            for each in found.instances
        ],
        "targets": [
            {"position": _rounded(g.T_world_tcp[:3, 3]), "approach": _rounded(g.T_world_tcp[:3, 2]),
             "closing_axis": _rounded(g.T_world_tcp[:3, 1]), "width_m": round(g.width_m, 4),
             "score": round(g.score, 4)}
            for g in found.targets
        ],
    }  # fmt: skip


def _rounded(values: Any) -> list[float] | None:
    return None if values is None else [round(float(v), 5) for v in np.asarray(values).ravel()]


def _box(extent: "Extent | None") -> dict[str, list[float] | None] | None:
    if extent is None:
        return None
    return {name: _rounded(getattr(extent, name)) for name in ("centre", "size", "quaternion")}


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
    from lerf_ros.core.heat_image import heat_of

    surface = snapshot.surface
    usable = surface.answerable(min_views)
    shown = usable if usable.any() else ~usable
    view = pv.overview(surface.points[shown], surface.normals[shown], *PANEL)
    plain = pv.draw_points(view, surface.points, pv.shaded(surface, surface.colours.astype(float)), surface.voxel_m)
    panels = [pv.titled(plain, "Map", f"{len(surface)} points, {snapshot.keyframes} keyframes, step {snapshot.step}")]
    for a in answers:
        if a.prompt not in heats:
            continue
        heat = heat_of(heats[a.prompt], a.probability) * usable
        tinted = pv.shaded(surface, pv.tinted(surface.colours.astype(float), heat))
        picture = pv.draw_points(view, surface.points, tinted, surface.voxel_m)
        note = f"{a.status.name}, probability {a.probability:.2f}, relevancy {a.relevancy:.2f} at {a.scale_m:.2f} m"
        panel = pv.titled(picture, a.prompt, note, pv.INKS.get(a.status.name, pv.FAINT))
        overlay = panel.crop((0, panel.height - PANEL[1], *panel.size))
        for other in a.instances[1:]:
            pv.mark(overlay, view, other.extent, other.point, hollow=True)
        pv.mark(overlay, view, a.extent, a.argmax_point)
        panel.paste(overlay, (0, panel.height - PANEL[1]))
        panels.append(panel)
    return pv.sheet(panels, f"{pv.LEGEND}; encoder {encoder}")
