# SPDX-License-Identifier: Apache-2.0
"""What training goes on from: taken out of a map that is learned, and made into one again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lerf_ros.config import Config, from_flat, to_flat
from lerf_ros.core.keyframe_files import SlottedKeyframe
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.surface import SurfaceBuilder, SurfaceMap
from lerf_ros.core.trainer import Trainer
from lerf_ros.core.weights import load_weights
from lerf_ros.errors import ConfigError, MapFileError

_SHAPING = ("workspace.", "field.")
_FREE = ("field.backend", "field.device")
_ALSO = ("keyframes.max_count", "pyramid.levels")


@dataclass(frozen=True)
class TrainingState:
    """Beside the snapshot of the same moment.

    Attributes:
        cells: of the surface; see `SurfaceBuilder.state`. Empty: known as points alone.
        keyframes: those trained on, oldest first; none in maps that were saved without.
        keyframe_step: training step at which the last one came.
    """

    cells: Mapping[str, np.ndarray] = field(default_factory=dict)
    keyframes: tuple[SlottedKeyframe, ...] = ()
    keyframe_step: int = 0


@dataclass(frozen=True)
class Restored:
    """A map that can be trained on, not in use yet. Its keyframes are without embeddings: the trainer has them."""

    snapshot: FieldSnapshot
    state: TrainingState
    trainer: Trainer
    surface: SurfaceBuilder


def check_fit(stored: Mapping[str, object], config: Config) -> None:
    """Refuse a map whose fields are not shaped as this configuration says.

    Args:
        stored: the flat configuration that it was made with; what it lacks had its default.
        config: the one in force.

    Raises:
        MapFileError: the settings that differ are named, with the values to set.
    """
    now = to_flat(config)
    shaping = [k for k in now if (k.startswith(_SHAPING) and k not in _FREE) or k in _ALSO]
    try:
        then = to_flat(from_flat({k: stored[k] for k in shaping if k in stored}))
    except ConfigError as error:
        raise MapFileError(f"the map was made with settings that this version does not have: {error}") from error
    if differ := [k for k in shaping if then[k] != now[k]]:
        told = ", ".join(f"{k} = {then[k]} (here {now[k]})" for k in differ)
        raise MapFileError(f"the map was made with {told}: set these and configure the node anew")


def restore(
    snapshot: FieldSnapshot, state: TrainingState, config: Config, embed_dim: int | None, patch_dim: int | None
) -> Restored:
    """Make fields, surface and keyframes of a saved map, from its weights; nothing that is in use is touched.

    The optimisers begin anew.

    Raises:
        MapFileError: weights or keyframes do not fit the configuration.
    """
    trainer = Trainer(config, embed_dim, patch_dim)
    load_weights(trainer, snapshot.weights)
    trainer.steps = snapshot.step
    try:
        for kept in state.keyframes:
            trainer.add(kept.keyframe, kept.slot)
    except ValueError as error:
        raise MapFileError(f"the map's keyframes do not fit this configuration: {error}; train.dino_weight and "
                           "encoder.regulariser must be as they were when it was made") from error
    surface = SurfaceBuilder(config.surface, config.workspace)
    known = snapshot.surface
    surface.resume(state.cells or _cells_of(known), known.voxel_m, known.stale_since_ns)
    return Restored(snapshot, state, trainer, surface)


def _cells_of(surface: SurfaceMap) -> dict[str, np.ndarray]:
    """Return cells that hold the given points, each as if every keyframe had seen it once from a metre away."""
    weight = np.maximum(surface.views, 1).astype(np.float64)[:, None]
    rows = np.concatenate([np.ones_like(weight), surface.points, surface.colours, surface.normals], axis=1)
    marks = np.zeros((len(surface), 4), np.int64)
    marks[:, 0], marks[:, 1], marks[:, 2] = surface.views, -1, surface.last_seen_ns
    return {"sums": weight * rows, "marks": marks, "frames": np.array([int(surface.views.max(initial=0))], np.int64)}


def state_of(
    trainer: Trainer, surface: SurfaceBuilder, frames: Sequence[Keyframe], keyframe_step: int
) -> TrainingState:
    """Return a copy of what training would go on from; images, which never change, are shared."""
    kept = tuple(SlottedKeyframe(_with_embeddings(frame, trainer), trainer.slot(frame)) for frame in frames)
    return TrainingState(surface.state(), kept, keyframe_step)


def _with_embeddings(frame: Keyframe, trainer: Trainer) -> Keyframe:
    if frame.pyramid is None or trainer.language is None:
        return frame
    return replace(frame, pyramid=replace(frame.pyramid, features=trainer.language.bank.features(frame.id)))
