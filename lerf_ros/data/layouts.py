# SPDX-License-Identifier: Apache-2.0
"""Where published datasets keep their scenes and labels, below the one folder that is named."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from lerf_ros.errors import DatasetError

CAPTURE = "transforms.json"
CAPTURES = ("lerfdatasets",)
"""Folders that hold the scenes, where they are not in the named folder itself: LERF's `LERF Datasets`."""

LABELS = ("localizationevaldataset", "label")
"""Folders that hold one folder of labels a scene: LERF's `Localization eval dataset`, LERF-OVS's `label`."""


def scene_folders(folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Return the folders with a capture: the named one, or those in it (or in its `LERF Datasets`), by name.

    Args:
        folder: of one scene or of a dataset.
        names: those wanted; none: all.

    Raises:
        DatasetError: there is no capture, or none of a name that is wanted.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")
    rooms = [folder, *_called(folder, CAPTURES)]
    found = [folder] if (folder / CAPTURE).is_file() else []
    found += [scene for room in rooms for scene in _folders(room) if (scene / CAPTURE).is_file()]
    for scene in found:
        if not scene.resolve().is_relative_to(folder.resolve()):
            raise DatasetError(f"{scene} leads out of {folder}")
    if not found:
        raise DatasetError(_no_capture(folder, rooms))
    by_name = {scene.resolve().name: scene for scene in found}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise DatasetError(f"{folder} has no scene {missing[0]!r}; it has {', '.join(sorted(by_name))}")
    return [by_name[name] for name in names or sorted(by_name)]


def label_folders(folder: Path, scene: Path) -> Iterator[Path]:
    """Yield the folders that may hold a scene's labels, nearest first, none outside `folder`."""
    yield scene
    name = scene.resolve().name
    for room in (scene, *(p for p in (scene.parent, scene.parent.parent) if p.is_relative_to(folder))):
        for labels in _called(room, LABELS):
            inner = labels / name
            if inner.is_dir():
                if not inner.resolve().is_relative_to(folder.resolve()):
                    raise DatasetError(f"{inner} leads out of {folder}")
                yield inner


def _no_capture(folder: Path, rooms: Sequence[Path]) -> str:
    for room in rooms:
        for scene in (room, *_folders(room)):
            if (scene / "sparse").is_dir():
                return (f"{scene} has COLMAP's poses (sparse/) but no {CAPTURE}: convert them with nerfstudio's "
                        "'ns-process-data images --skip-colmap', which writes one")  # fmt: skip
    return (f"{folder} holds no capture: expected <scene>/{CAPTURE} and <scene>/images in it or in its 'LERF Datasets' "
            "(nerfstudio's layout)")  # fmt: skip


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _called(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the folders of these names, however spaces, underscores and capitals are written."""
    return [p for p in _folders(folder) if p.name.casefold().replace(" ", "").replace("_", "") in names]
