# SPDX-License-Identifier: Apache-2.0
"""A map on disk: one folder of safetensors and JSON, written whole or not at all. No pickle.

    NAME/
        metadata.json          format, frame, encoder, configuration, counts, sha256 of the other files
        surface.safetensors    points, normals, colours, views, last_seen_ns, stale_since_ns
        language.safetensors   scales_m, rows, basis (version 1: embeddings in full instead)
        weights.safetensors    the fields
        cells.safetensors      what the surface is fused from                       } since version 3: training goes
        keyframes/000000.safetensors ...  see `keyframe_files`; or none             } on from these
"""

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lerf_ros.config import Config, to_flat
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.keyframe_files import from_tensors, to_tensors
from lerf_ros.core.map_parts import (
    array_tensors,
    arrays,
    language_tensors,
    read_cells,
    read_language,
    read_surface,
    surface_tensors,
)
from lerf_ros.core.restoring import TrainingState
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import MapFileError

FORMAT = "lerf_ros map"
VERSION = 3
METADATA = "metadata.json"
PARTS = ("surface", "language", "weights")
CELLS, KEYFRAMES = "cells", "keyframes/"
_KEYFRAME = KEYFRAMES + r"[0-9]{6}"


@dataclass(frozen=True)
class MapInfo:
    """What a map's metadata says about it.

    Attributes:
        step, keyframes, points: counts.
        stamp_ns: of the newest keyframe.
        frame_id: of all coordinates.
        encoder_name, encoder_sha256: of the encoder it was made with.
        voxel_m: spacing of its surface points.
        config: the flat configuration it was made with.
        sha256: of each part, by name.
        version: of the format.
        keyframe_step: training step of the last keyframe.
    """

    step: int
    keyframes: int
    points: int
    stamp_ns: int
    frame_id: str
    encoder_name: str
    encoder_sha256: str
    voxel_m: float
    config: Mapping[str, Any]
    sha256: Mapping[str, str]
    version: int = VERSION
    keyframe_step: int = 0

    @property
    def kept(self) -> list[str]:
        """Names of the parts that hold a keyframe each, oldest first."""
        return sorted(name for name in self.sha256 if name.startswith(KEYFRAMES))


def map_path(folder: Path, name: str) -> Path:
    """Return where the map `name` lies inside `folder`.

    Raises:
        MapFileError: the name is empty or would lead out of the folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise MapFileError(f"{name!r} is no map name: use letters, digits, '-' and '_', without folders")
    return folder / name


def save_map(snapshot: FieldSnapshot, path: Path, config: Config, state: TrainingState | None = None) -> None:
    """Write the snapshot to the folder `path`; a map already there is replaced (by two renames).

    With `state`, of the same moment, training can go on from it.

    Raises:
        MapFileError: `path` holds something that is no map, or it cannot be written.
    """
    if path.exists() and not (path / METADATA).is_file():
        raise MapFileError(f"{path} exists and is no map; it is not overwritten")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            _write(snapshot, scratch, config, state or TrainingState(keyframe_step=snapshot.step))
            _swap(scratch, path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise MapFileError(f"map {path} cannot be written: {error}") from error


def load_map(path: Path, encoder: ImageTextEncoder | None, frame_id: str = "") -> FieldSnapshot:
    """Read a map.

    Args:
        path: its folder.
        encoder: the one that phrases will be embedded with; None skips that check.
        frame_id: the frame it must be in; "" skips that check.

    Raises:
        MapFileError: it is absent, damaged, foreign, newer than this program, or does not fit encoder or frame.
    """
    info = read_info(path)
    if frame_id and info.frame_id != frame_id:
        raise MapFileError(f"map {path} is in frame {info.frame_id!r}, not {frame_id!r}: set input.world_frame")
    if encoder is not None and (info.encoder_sha256 or info.encoder_name) != (encoder.sha256 or encoder.name):
        raise MapFileError(f"map {path} was made with encoder {info.encoder_name} ({info.encoder_sha256[:12]}), not "
                           f"{encoder.name} ({encoder.sha256[:12]}): set encoder.model, or map anew")
    files = {name: path / f"{name}.safetensors" for name in PARTS}
    parts = {name: _read_part(file, info.sha256[name]) for name, file in files.items()}
    return FieldSnapshot(
        step=info.step, stamp_ns=info.stamp_ns, frame_id=info.frame_id, keyframes=info.keyframes,
        surface=read_surface(parts["surface"], info.points, info.voxel_m, str(files["surface"])),
        language=read_language(parts["language"], info.points, str(files["language"])), encoder_name=info.encoder_name,
        encoder_sha256=info.encoder_sha256, weights=arrays(parts["weights"], str(files["weights"])),
    )  # fmt: skip


def load_state(path: Path) -> TrainingState:
    """Read what training goes on from; maps of versions 1 and 2, and some of 3, hold no keyframes.

    Raises:
        MapFileError: as `load_map`.
    """
    info = read_info(path)
    cells: dict[str, np.ndarray] = {}
    if CELLS in info.sha256:
        file = path / f"{CELLS}.safetensors"
        cells = read_cells(_read_part(file, info.sha256[CELLS]), info.points, str(file))
    files = [(path / f"{name}.safetensors", info.sha256[name]) for name in info.kept]
    frames = tuple(from_tensors(_read_part(*each), k, str(each[0])) for k, each in enumerate(files))
    return TrainingState(cells, frames, info.keyframe_step)


def read_info(path: Path) -> MapInfo:
    """Read a map's metadata only.

    Raises:
        MapFileError: it is absent, damaged, foreign or newer than this program.
    """
    if not path.is_dir():
        raise MapFileError(f"there is no map at {path}")
    try:
        data = json.loads((path / METADATA).read_text("utf-8"))
    except FileNotFoundError as error:
        raise MapFileError(f"{path} is no map: it holds no {METADATA}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise MapFileError(f"{path / METADATA} is damaged: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise MapFileError(f"{path} is no {FORMAT}: its metadata is of another program")
    version = data.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise MapFileError(f"map {path} has version {version}, this program reads up to {VERSION}: update it")
    try:
        known = {name: kind(data[name]) for name, kind in _FIELDS.items()}
        keyframe_step = _count(data["keyframe_step"] if version > 2 else data["step"])
        info = MapInfo(**known, version=version, keyframe_step=keyframe_step)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MapFileError(f"{path / METADATA} is damaged: {error!r}") from error
    if missing := set(PARTS) - set(info.sha256):
        raise MapFileError(f"{path / METADATA} is damaged: no sha256 of {', '.join(sorted(missing))}")
    return info


def _count(value: Any) -> int:
    if not 0 <= (number := int(value)) < 2**63:
        raise ValueError(f"{number} is no count")
    return number


def _length(value: Any) -> float:
    if not 0 < (length := float(value)) < math.inf:
        raise ValueError(f"{length} is no length")
    return length


def _sums(value: Any) -> dict[str, str]:
    """Return the digests by part; a name that this program would not have given may lead out of the folder."""
    sums = dict(value)
    if foreign := [name for name in sums if name not in (*PARTS, CELLS) and not re.fullmatch(_KEYFRAME, name)]:
        raise ValueError(f"{foreign[0]!r} is no part of a map")
    return sums


_FIELDS: dict[str, Any] = {
    "step": _count, "keyframes": _count, "points": _count, "stamp_ns": _count, "frame_id": str, "encoder_name": str,
    "encoder_sha256": str, "voxel_m": _length, "config": dict, "sha256": _sums,
}  # fmt: skip


def _write(snapshot: FieldSnapshot, folder: Path, config: Config, state: TrainingState) -> None:
    surface = snapshot.surface
    tensors = {
        "surface": surface_tensors(surface),
        "language": language_tensors(snapshot.language),
        "weights": array_tensors(snapshot.weights),
    }
    if state.cells:
        tensors[CELLS] = array_tensors(state.cells)
    for name, values in tensors.items():
        save_file(values, folder / f"{name}.safetensors")
    kept = [f"{KEYFRAMES}{k:06d}" for k in range(len(state.keyframes))]
    if kept:
        (folder / KEYFRAMES).mkdir()
    for name, frame in zip(kept, state.keyframes, strict=True):  # one at a time: they are most of a map
        save_file(to_tensors(frame), folder / f"{name}.safetensors")
    metadata = {
        "format": FORMAT, "version": VERSION, "step": snapshot.step, "keyframes": snapshot.keyframes,
        "points": len(surface), "stamp_ns": snapshot.stamp_ns, "frame_id": snapshot.frame_id,
        "encoder_name": snapshot.encoder_name, "encoder_sha256": snapshot.encoder_sha256,
        "voxel_m": surface.voxel_m, "config": to_flat(config),
        "keyframe_step": state.keyframe_step,
        "sha256": {name: _sha256(folder / f"{name}.safetensors") for name in (*tensors, *kept)},
    }  # fmt: skip
    (folder / METADATA).write_text(json.dumps(metadata, indent=1), "utf-8")
    for file in (*folder.rglob("*"), folder):
        _sync(file)


def _swap(new: Path, path: Path) -> None:
    """Put the finished folder in place. An old map stays complete under a hidden name until the new one is there."""
    new.chmod(0o755)
    old = path.with_name(new.name + ".old")
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_part(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise MapFileError(f"map part {path} is missing")
    if _sha256(path) != sha256:
        raise MapFileError(f"map part {path} is damaged: truncated, or not the file that was saved")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise MapFileError(f"map part {path} cannot be read: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
