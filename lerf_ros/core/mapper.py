# SPDX-License-Identifier: Apache-2.0
"""The facade: posed images in, an immutable snapshot out. Reads like the paper; threads are the caller's."""

import itertools
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float32, Float64

from lerf_ros.config import Config, QueryConfig
from lerf_ros.core import search
from lerf_ros.core.basis import PROBES, Probes
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.forgetting import Forgotten, without_box
from lerf_ros.core.keyframes import Keyframe, KeyframeStore, MotionGate, PosedImage
from lerf_ros.core.memory import available_bytes, rank_limit, return_free_memory
from lerf_ros.core.pyramid import build_pyramid, check_encoder
from lerf_ros.core.recovery import Recovery
from lerf_ros.core.refresh import LanguageRefresher
from lerf_ros.core.regulariser import load_regulariser
from lerf_ros.core.relevancy import CANONICAL
from lerf_ros.core.rendered_surface import RenderedSurface
from lerf_ros.core.restoring import Restored, TrainingState, restore, state_of
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.surface import SurfaceBuilder, SurfaceMap
from lerf_ros.core.trainer import StepReport, Trainer
from lerf_ros.core.weights import weights_of


class LerfMapper:
    """Incremental LERF. `prepare` belongs to one thread; all else to one other.

    Args:
        config: the whole tree.
        encoder: embeds tiles and phrases; None maps colour and geometry only.

    Raises:
        EncoderError: the regulariser that is asked for (`train.dino_weight`) cannot be had, or the encoder has no dense
            features and `pyramid.mode` wants them.
        ConfigError: the largest map that `surface.max_points` and `query.scales` allow does not fit into memory.
    """

    def __init__(self, config: Config, encoder: ImageTextEncoder | None) -> None:
        self.config = config
        self.encoder = encoder
        if encoder is not None:
            check_encoder(encoder, config.pyramid)
        self._regulariser = load_regulariser(config, encoder)
        self.store = KeyframeStore(config.keyframes.max_count)
        self._gate = MotionGate(config.keyframes)
        self._ids = itertools.count()
        self._start(Trainer(config, *self.widths), SurfaceBuilder(config.surface, config.workspace))

    @property
    def widths(self) -> tuple[int | None, int | None]:
        """Width of embeddings and of patch features that are trained on; None: they are not."""
        return (
            None if self.encoder is None else self.encoder.embed_dim,
            None if self._regulariser is None else self._regulariser.dim,
        )

    def _start(self, trainer: Trainer, surface: SurfaceBuilder) -> None:
        self.trainer = trainer
        self._surface = surface
        self._recovery = Recovery(self.config, self._surface, self.store)
        self._built: SurfaceMap | None = None
        self._refresher = self._new_refresher()
        self._added_at = 0  # training steps
        self._rendered = RenderedSurface()
        self._forgotten = Forgotten()
        self._edits = 0
        self._published: tuple[object, FieldSnapshot] | None = None
        self._before = (0, 0)  # keyframes that were not loaded with the map, and the newest stamp of a loaded one

    def _new_refresher(self) -> LanguageRefresher | None:
        language = self.trainer.language
        if language is None or self.encoder is None:
            return None
        limit = rank_limit(self.config, self.encoder.embed_dim, available_bytes())
        probes = (*PROBES, *self.encoder.calibration.null_phrases)
        texts, canonical = (torch.from_numpy(self.encoder.encode_texts(p)) for p in (probes, CANONICAL))
        return LanguageRefresher(language.evaluate, query_scales(self.config.query), Probes(texts, canonical), limit)

    def prepare(self, image: PosedImage) -> Keyframe | None:
        """Return a keyframe with its features, or None if the camera has not moved enough since the last.

        Raises:
            EncoderError: what sees the image gave something unusable.
        """
        if self._gate.has_moved(image):
            self._recovery.moved(image)
        elif not self._recovery.wants(image, self._built):
            return None
        pyramid = None if self.encoder is None else build_pyramid(self.encoder, image.rgb, self.config.pyramid)
        patches = None if self._regulariser is None else self._regulariser.features(image.rgb)
        self._gate.remember(image)  # only now: a frame that could not be embedded must not count as seen
        self._recovery.kept(image)
        return Keyframe.of(next(self._ids), image, pyramid, patches)

    def add(self, keyframe: Keyframe) -> None:
        """Take a keyframe into the map; the most redundant one leaves when the budget is spent."""
        keyframe = replace(keyframe, image=self._forgotten.kept_out_of(keyframe.image))
        self.trainer.add(keyframe)  # before the store: what this refuses must not be drawn from
        evicted = self.store.add(keyframe.without_embeddings())
        if evicted is not None:
            self.trainer.remove(evicted)
            self._rendered.remove(evicted.id)
        self._recovery.adding(keyframe, self.step_count)
        if (depth_m := keyframe.image.depth_m) is not None:
            self._surface.add(keyframe.image, depth_m)
        self._recovery.added(keyframe, self.step_count)
        self._added_at = self.step_count

    def forget(
        self, low: Float64[np.ndarray, " 3"], high: Float64[np.ndarray, " 3"], since_ns: int
    ) -> int:
        """Forget what is inside a box (metres, world), and what keyframes up to a stamp show of it.

        Everything else stays: no keyframe is lost, only pixels of it. The next image of each camera becomes a keyframe,
        moved or not.

        Returns:
            How many surface points were inside.
        """
        points = self._surface.forget(low, high)
        self.store.replace(
            replace(frame, image=image) for frame in self.store.view()
            if (image := without_box(frame.image, low, high, self._rendered.depth_m(frame.id))) is not frame.image
        )  # fmt: skip
        self.trainer.radiance.density_grid.forget(low, high)
        self._gate.reset(since_ns)
        self._forgotten.add(low, high, since_ns)
        self._edits += 1
        return points

    def time_jumped(self) -> None:
        """Go on with images whose stamps are earlier than those so far: a recording began anew. The map stays."""
        self._gate.time_jumped()
        self._forgotten.time_jumped()
        self._recovery.time_jumped()

    def step(self) -> StepReport:
        """Take one optimisation step of both fields on the keyframes there are."""
        frames = self.store.view()
        focus = (*self._recovery.windows(frames), *self._forgotten.windows(frames, self.step_count))
        report = self.trainer.step(frames, focus)
        self._recovery.learned(self.trainer, frames, self.config.runtime.idle_steps)
        return report

    def publish(self) -> FieldSnapshot | None:
        """Return the map as it is now: surface, language of its points, and frozen weights.

        It is the last one itself if nothing was learned or changed since; None before the first keyframe.
        """
        frames = self.store.view()
        rested, state = self._rested(), self._state()
        if self._published is not None and self._published[0] == state:
            return self._published[1]
        if not self.has_map or self.encoder is None or self._refresher is None:
            return None
        self._rendered.fuse(frames, self._surface, self.trainer.radiance, self.config.surface.min_views)
        surface = self._build_surface()
        snapshot = FieldSnapshot(
            step=self.step_count,
            stamp_ns=max([self._before[1], *(frame.image.stamp_ns for frame in frames)]),
            frame_id=self.config.input.world_frame,
            keyframes=self._before[0] + len(frames),
            surface=surface,
            language=self._refresher.refresh(surface.points, surface.voxel_m, everything=rested),
            encoder_name=self.encoder.name,
            encoder_sha256=self.encoder.sha256,
            weights=self.weights(),
        )
        search.prepare(snapshot, self.encoder, self.config)
        self._published = (state, snapshot)
        return snapshot

    def _rested(self) -> bool:
        return self.step_count - self._added_at >= self.config.runtime.idle_steps

    def _state(self) -> tuple[object, ...]:
        """Return what changes whenever a new snapshot would differ from the last."""
        return self.step_count, self.store.version, self._edits, self._rested()

    def _build_surface(self) -> SurfaceMap:
        """Return the surface fused so far: the last snapshot's own if it has not changed, so that its things are kept.
        """
        new, old = self._surface.build(), self._built
        arrays = ("points", "normals", "colours", "views", "last_seen_ns", "stale")
        if old is None or not all(np.array_equal(getattr(new, name), getattr(old, name)) for name in arrays):
            self._built = old = new
        return old

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of all that was learned, by name: see `core.weights`."""
        return weights_of(self.trainer, self.store.view())

    def training_state(self, keyframes: bool = True) -> TrainingState:
        """Return a copy of what training would go on from after now, with or without keyframes."""
        return state_of(self.trainer, self._surface, self.store.view() if keyframes else (), self._added_at)

    def restore(self, snapshot: FieldSnapshot, state: TrainingState) -> Restored:
        """Make a saved map ready for `adopt`, beside the one in use. Safe to call from any thread.

        Raises:
            MapFileError: it does not fit this configuration.
        """
        kept = (replace(k, keyframe=replace(k.keyframe, id=next(self._ids))) for k in state.keyframes)
        return restore(snapshot, replace(state, keyframes=tuple(kept)), self.config, *self.widths)

    def adopt(self, restored: Restored) -> None:
        """Go on from a saved map; what there was is forgotten."""
        snapshot, frames = restored.snapshot, restored.state.keyframes
        self.close()
        self.store.clear()
        self._gate.reset()
        self._start(restored.trainer, restored.surface)
        for kept in frames:
            self.store.add(kept.keyframe.without_embeddings())
        self._added_at = restored.state.keyframe_step
        self._built = snapshot.surface
        self._before = (0 if frames else snapshot.keyframes, snapshot.stamp_ns)
        self._published = (self._state(), snapshot)

    def reset(self) -> None:
        """Forget everything learned and all keyframes."""
        self.store.clear()
        self._gate.reset()
        self.close()
        self._start(Trainer(self.config, *self.widths), SurfaceBuilder(self.config.surface, self.config.workspace))

    def reconfigure(self, config: Config) -> None:
        """Go by `config` from now on in all that does not shape the map: distances of keyframes, views, answers."""
        self.config = config
        self._gate.reconfigure(config.keyframes)

    def release(self) -> None:
        """Give back what only training needs; the map stays, and training may go on at any time."""
        self.trainer.release()
        return_free_memory()

    def set_threads(self, n: int) -> None:
        """Use `n` CPU threads for training from now on. Call it on the thread that trains: torch counts per thread."""
        self.trainer.workers.threads = n
        torch.set_num_threads(n)

    def close(self) -> None:
        """End the kernel threads."""
        self.trainer.workers.close()

    @property
    def keyframe_count(self) -> int:
        """Keyframes in the map."""
        return len(self.store.view())

    @property
    def has_map(self) -> bool:
        """Whether there is a keyframe, or was one in the map that was loaded."""
        return bool(self._before[0] or self.store.view())

    @property
    def keyframe_step(self) -> int:
        """Training step at which the last keyframe came."""
        return self._added_at

    @property
    def step_count(self) -> int:
        """Training steps done."""
        return self.trainer.steps


def query_scales(config: QueryConfig) -> Float32[np.ndarray, " S"]:
    """Return the physical scales (m) that phrases are searched at, ascending (LERF: linear from 0)."""
    spread = np.geomspace if config.scale_spacing == "geometric" else np.linspace
    return np.asarray(spread(config.min_scale_m, config.max_scale_m, config.scales), np.float32)
