# SPDX-License-Identifier: Apache-2.0
"""The facade: posed images in, an immutable snapshot out. Reads like the paper; threads are the caller's."""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Float32

from lerf_ros.config import Config, QueryConfig
from lerf_ros.core import search
from lerf_ros.core.agreement import DepthView, confirmations
from lerf_ros.core.basis import PROBES, Probes
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import KeptImage, Keyframe, KeyframeStore, MotionGate, PosedImage
from lerf_ros.core.memory import available_bytes, rank_limit
from lerf_ros.core.pyramid import build_pyramid, check_encoder
from lerf_ros.core.refresh import LanguageRefresher
from lerf_ros.core.regulariser import load_regulariser
from lerf_ros.core.relevancy import CANONICAL
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.surface import SAMPLES_PER_VOXEL, SurfaceBuilder, SurfaceMap
from lerf_ros.core.trainer import StepReport, Trainer

RENDERED_WIDTH_PX = 120
RENDERED_A_SNAPSHOT = 6
MIN_OPACITY = 0.7
MEDIAN_PX = 5


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
        self._start()

    def _start(self) -> None:
        self.trainer = Trainer(
            self.config,
            None if self.encoder is None else self.encoder.embed_dim,
            None if self._regulariser is None else self._regulariser.dim,
        )
        self._surface = SurfaceBuilder(self.config.surface, self.config.workspace)
        self._built: SurfaceMap | None = None
        self._refresher = self._new_refresher()
        self._added_at = 0  # training steps
        self._rendered: dict[int, DepthView] = {}  # the one rendered longest ago first

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
        if not self._gate.has_moved(image):
            return None
        pyramid = None if self.encoder is None else build_pyramid(self.encoder, image.rgb, self.config.pyramid)
        patches = None if self._regulariser is None else self._regulariser.features(image.rgb)
        self._gate.remember(image)  # only now: a frame that could not be embedded must not count as seen
        return Keyframe.of(next(self._ids), image, pyramid, patches)

    def add(self, keyframe: Keyframe) -> None:
        """Take a keyframe into the map; the most redundant one leaves when the budget is spent."""
        self.trainer.add(keyframe)  # before the store: what this refuses must not be drawn from
        evicted = self.store.add(keyframe.without_embeddings())
        if evicted is not None:
            self.trainer.remove(evicted)
            self._rendered.pop(evicted.id, None)
        self._add_measured_surface(keyframe.image)
        self._added_at = self.step_count

    def step(self) -> StepReport:
        """Take one optimisation step of both fields on the keyframes there are."""
        return self.trainer.step(self.store.view())

    def publish(self) -> FieldSnapshot | None:
        """Return the map as it is now: surface, language of its points, and frozen weights."""
        frames = self.store.view()
        if not frames or self.encoder is None or self._refresher is None:
            return None
        self._add_rendered_surface(frames)
        surface = self._build_surface()
        rested = self.step_count - self._added_at >= self.config.runtime.idle_steps
        snapshot = FieldSnapshot(
            step=self.step_count,
            stamp_ns=max(frame.image.stamp_ns for frame in frames),
            frame_id=self.config.input.world_frame,
            keyframes=len(frames),
            surface=surface,
            language=self._refresher.refresh(surface.points, surface.voxel_m, everything=rested),
            encoder_name=self.encoder.name,
            encoder_sha256=self.encoder.sha256,
            weights=self.weights(),
        )
        search.prepare(snapshot, self.encoder, self.config)
        return snapshot

    def _build_surface(self) -> SurfaceMap:
        """Return the surface fused so far: the last snapshot's own if it has not changed, so that its things are kept.
        """
        new, old = self._surface.build(), self._built
        arrays = ("points", "normals", "colours", "views", "last_seen_ns")
        if old is None or not all(np.array_equal(getattr(new, name), getattr(old, name)) for name in arrays):
            self._built = old = new
        return old

    def _add_rendered_surface(self, frames: tuple[Keyframe, ...]) -> None:
        """Without measured depth the surface is the rendered depth that enough keyframes agree on."""
        blind = [frame for frame in frames if frame.image.depth is None]
        if not blind:
            return
        self._render_depth(blind)
        views = [self._rendered[frame.id] for frame in blind]
        counts = confirmations(views)
        sure = [
            replace(view, depth_m=np.where(seen >= self.config.surface.min_views, view.depth_m, np.float32(0)))
            for view, seen in zip(views, counts, strict=True)
        ]
        self._surface.clear(_spacing(sure) if len(blind) == len(frames) else 0.0)
        for frame in frames:
            self._add_measured_surface(frame.image)
        for frame, view, seen in zip(blind, sure, counts, strict=True):
            self._surface.add(_small(frame.image), view.depth_m, seen)

    def _add_measured_surface(self, image: KeptImage) -> None:
        depth_m = image.depth_m
        if depth_m is not None:
            self._surface.add(image, depth_m)

    def _render_depth(self, blind: list[Keyframe]) -> None:
        """Render depth of every new keyframe; with few of them, of those rendered longest ago too: the field learns."""
        age = {key: place for place, key in enumerate(self._rendered)}
        order = sorted(blind, key=lambda frame: age.get(frame.id, -1))
        new = sum(frame.id not in age for frame in blind)
        for frame in order[: max(new, RENDERED_A_SNAPSHOT)]:
            camera, pose = _small_camera(frame.image), frame.image.T_world_cam
            seen = self.trainer.radiance.render(camera, pose)
            depth = np.where(seen.opacity > MIN_OPACITY, seen.depth_m, 0).astype(np.float32)
            # The median ray sample jumps from pixel to pixel; the median of pixels keeps edges.
            depth = np.asarray(cv2.medianBlur(depth, MEDIAN_PX), np.float32)
            self._rendered.pop(frame.id, None)
            self._rendered[frame.id] = DepthView(depth, camera, pose)

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of all that was learned, by name.

        `radiance.*`, `exposure.*`, `refinement.*`, `language.*`, `regulariser.*` are module states (the last one, the
        head of the DINO loss, is of use to training alone), `density_grid` the sampler's table;
        `keyframes.stamp_ns`, `keyframes.slot` and `keyframes.T_world_cam` tell which row of the corrections is whose;
        `keyframes.intrinsics` holds fx, fy, cx, cy, width, height of each, pixels.
        """
        radiance, language = self.trainer.radiance, self.trainer.language
        modules: dict[str, torch.nn.Module | None] = {
            "radiance": radiance.field,
            "exposure": radiance.exposure,
            "refinement": radiance.refinement,
            "language": None if language is None else language.field,
            "regulariser": None if language is None else language.patch_head,
        }
        out = {
            f"{name}.{key}": value.detach().cpu().numpy().copy()
            for name, module in modules.items()
            if module is not None
            for key, value in module.state_dict().items()
        }
        frames = self.store.view()
        out["density_grid"] = radiance.density_grid.values.copy()
        out["keyframes.stamp_ns"] = np.array([frame.image.stamp_ns for frame in frames], np.int64)
        out["keyframes.slot"] = np.array([self.trainer.slot(frame) for frame in frames], np.int64)
        out["keyframes.T_world_cam"] = np.array([f.image.T_world_cam for f in frames], np.float64).reshape(-1, 4, 4)
        cameras = [f.image.intrinsics for f in frames]
        rows = [(c.fx, c.fy, c.cx, c.cy, c.width, c.height) for c in cameras]
        out["keyframes.intrinsics"] = np.array(rows, np.float64).reshape(-1, 6)
        return out

    def reset(self) -> None:
        """Forget everything learned and all keyframes."""
        self.store.clear()
        self._gate.reset()
        self.close()
        self._start()

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
    def step_count(self) -> int:
        """Training steps done."""
        return self.trainer.steps


def query_scales(config: QueryConfig) -> Float32[np.ndarray, " S"]:
    """Return the physical scales (m) that phrases are searched at, ascending (LERF: linear from 0)."""
    spread = np.geomspace if config.scale_spacing == "geometric" else np.linspace
    return np.asarray(spread(config.min_scale_m, config.max_scale_m, config.scales), np.float32)


def _small_camera(image: KeptImage) -> Intrinsics:
    """Return the camera that depth is rendered for."""
    width = min(RENDERED_WIDTH_PX, image.intrinsics.width)
    return image.intrinsics.scaled(width, max(round(image.intrinsics.height * width / image.intrinsics.width), 1))


def _small(image: KeptImage) -> KeptImage:
    """Return the image at the size that depth is rendered at."""
    camera = _small_camera(image)
    rgb = cv2.resize(image.rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return replace(image, rgb=rgb, intrinsics=camera, bits=None)


def _spacing(views: list[DepthView]) -> float:
    """Return the voxel size (m) that pixels of rendered depth are dense enough for."""
    pixels = [view.depth_m[view.depth_m > 0] / min(view.intrinsics.fx, view.intrinsics.fy) for view in views]
    every = np.concatenate(pixels)
    return SAMPLES_PER_VOXEL * float(np.median(every)) if len(every) else 0.0
