# SPDX-License-Identifier: Apache-2.0
"""The tensors of a map's files, checked before anything is made of them: other kinds and shapes are refused."""

from collections.abc import Mapping

import numpy as np
import torch

from lerf_ros.core.snapshot import LanguageCache
from lerf_ros.core.surface import SurfaceMap
from lerf_ros.errors import MapFileError

_SURFACE = {
    "points": ("f4", 3), "normals": ("f4", 3), "colours": ("u1", 3), "views": ("i4", 0), "last_seen_ns": ("i8", 0),
    "stale_since_ns": ("i8", 0),
}  # fmt: skip
_OPTIONAL = "stale_since_ns"
"""Of the surface: maps that were saved before there was one lack it."""

_CELLS = {"keys": ("i8", 0), "sums": ("f8", 10), "marks": ("i8", 4), "frames": ("i8", 0)}
_FULL = (torch.float32, torch.bfloat16, torch.float16)


def surface_tensors(surface: SurfaceMap) -> dict[str, torch.Tensor]:
    """Return all of a surface but the spacing of its points."""
    since_ns = surface.stale_since_ns
    known = {_OPTIONAL: np.zeros(len(surface), np.int64) if since_ns is None else since_ns}
    return {name: _tensor(known.get(name, getattr(surface, name))) for name in _SURFACE}


def language_tensors(language: LanguageCache) -> dict[str, torch.Tensor]:
    """Return scales, rows and, where there is one, the basis."""
    tensors = {"scales_m": torch.from_numpy(language.scales_m), "rows": language.rows.contiguous()}
    return tensors | ({} if language.basis is None else {"basis": language.basis.contiguous()})


def array_tensors(values: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return arrays as tensors."""
    return {name: _tensor(value) for name, value in values.items()}


def arrays(tensors: Mapping[str, torch.Tensor], where: str) -> dict[str, np.ndarray]:
    """Return tensors as arrays; `where` says of what file they are.

    Raises:
        MapFileError: some are of a type that arrays cannot have.
    """
    try:
        return {name: value.numpy() for name, value in tensors.items()}
    except (TypeError, RuntimeError) as error:
        raise MapFileError(f"{where} is damaged: {error}") from error


def read_surface(tensors: Mapping[str, torch.Tensor], points: int, voxel_m: float, where: str) -> SurfaceMap:
    """Return the surface of so many points.

    Raises:
        MapFileError: the tensors are none.
    """
    found = arrays(tensors, where)
    kinds = {name: kind for name, kind in _SURFACE.items() if name != _OPTIONAL or name in found}
    return SurfaceMap(**{name: _checked(found, name, points, *kinds[name], where) for name in kinds}, voxel_m=voxel_m)


def read_cells(tensors: Mapping[str, torch.Tensor], points: int, where: str) -> dict[str, np.ndarray]:
    """Return the cells of a surface of so many points; see `SurfaceBuilder.state`.

    Raises:
        MapFileError: the tensors are none.
    """
    found = arrays(tensors, where)
    return {name: _checked(found, name, 1 if name == "frames" else points, *kind, where)
            for name, kind in _CELLS.items()}  # fmt: skip


def read_language(tensors: Mapping[str, torch.Tensor], points: int, where: str) -> LanguageCache:
    """Return the language of a surface of so many points (version 1: embeddings in full instead of rows).

    Raises:
        MapFileError: the tensors are none.
    """
    scales, rows, basis = tensors.get("scales_m"), tensors.get("rows"), tensors.get("basis")
    full = tensors.get("embeddings")
    if (
        scales is None or scales.dtype != torch.float32 or scales.ndim != 1 or (rows is None and full is None)
        or not all(_is_rows(each, len(scales), points) for each in (rows, full) if each is not None)
        or (full is not None and full.dtype == torch.int16)
        or (full is None and rows is not None and not _fits(rows, basis))
    ):  # fmt: skip
        raise MapFileError(f"{where} is damaged: it does not fit its surface of {points} points")
    if full is not None:
        return LanguageCache.of(scales.numpy(), full)
    assert rows is not None
    return LanguageCache(scales.numpy(), rows, basis)


def _is_rows(rows: torch.Tensor, scales: int, points: int) -> bool:
    return rows.ndim == 3 and rows.shape[:2] == (scales, points) and rows.dtype in (torch.int16, *_FULL)


def _fits(rows: torch.Tensor, basis: torch.Tensor | None) -> bool:
    """Return whether rows are coordinates in that basis, or embeddings without one."""
    if basis is None:
        return rows.dtype != torch.int16
    coordinates = rows.dtype == torch.int16 and basis.dtype == torch.float32
    return coordinates and basis.ndim == 2 and len(basis) == rows.shape[2]


def _checked(
    found: Mapping[str, np.ndarray], name: str, count: int, kind: str, columns: int, where: str
) -> np.ndarray:
    shape, values = (count, columns) if columns else (count,), found.get(name)
    if values is None or values.dtype != np.dtype(kind) or values.shape != shape:
        raise MapFileError(f"{where} is damaged: it holds no {name} for {count} points")
    return values


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))
