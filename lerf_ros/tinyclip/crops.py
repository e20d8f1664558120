# SPDX-License-Identifier: Apache-2.0
"""Renders training scenes and cuts crops with the facts of what each shows (captions are drawn later, from facts)."""

import logging
import math
import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from lerf_ros.core.geometry import look_at
from lerf_ros.sim import arm_model
from lerf_ros.sim.camera import RenderedFrame, SceneRenderer
from lerf_ros.sim.scene import DEFAULT_FOVY_DEG, HOME_JOINTS_RAD, Scene, build
from lerf_ros.sim.spec import PairChoice, sample_spec
from lerf_ros.tinyclip.facts import OBJECTS_PER_CROP, CropFacts
from lerf_ros.tinyclip.vocabulary import (
    ALL_CATEGORIES,
    ALL_COLOURS,
    ALL_PARTS,
    ALL_WORDS,
    IMAGE_PX,
    N_OBJECT_CATEGORIES,
    UNKNOWN,
)

log = logging.getLogger(__name__)

VIEWS_PER_SCENE: Final = 8
CROPS_PER_VIEW: Final = 20
#: Spoons and pans are the hardest shapes at 64 pixels.
_EXTRA_WEIGHT: Final = {"spoon": 1.8, "pan": 1.6, "bowl": 1.2}
_MIN_SHARE: Final = 0.012
_LABEL_PX: Final = 56


@dataclass(frozen=True)
class _Owners:
    """Lookup from geom id (last entry: nothing) to an owner row and part; owner rows are objects, then backgrounds."""

    owner: Int64[np.ndarray, "G"]
    part: Int64[np.ndarray, "G"]
    category: list[int]
    colour: list[int]
    word: list[int]

    @property
    def n(self) -> int:
        return len(self.category)


def _owners(scene: Scene) -> _Owners:
    spec = scene.spec
    n = len(spec.objects)
    code = {Scene.TABLE: n, Scene.FLOOR: n + 1, Scene.ARM: n + 2, Scene.NOTHING: n + 3}
    owner = np.array([code.get(int(o), int(o)) for o in (*scene.geom_object, Scene.NOTHING)])
    part = np.array([ALL_PARTS.index(p) if p else -1 for p in (*scene.geom_part, None)])
    category = [ALL_CATEGORIES.index(o.category) for o in spec.objects]
    colour = [ALL_COLOURS.index(o.colour) if o.colour else UNKNOWN for o in spec.objects]
    word = [ALL_WORDS.index(o.word) if o.word else UNKNOWN for o in spec.objects]
    first = N_OBJECT_CATEGORIES
    category += [first, first + 1, first + 2]
    colour += [ALL_COLOURS.index(spec.table), ALL_COLOURS.index(spec.floor), UNKNOWN]
    return _Owners(owner, part, category, colour, [*word, UNKNOWN, UNKNOWN, UNKNOWN])


def _pose_arm(scene: Scene, rng: np.random.Generator) -> None:
    """Half of the views have the arm somewhere else than at home, well above the objects."""
    home = np.array(HOME_JOINTS_RAD)
    low, high = np.array([-1.4, -0.9, 0.9, -1.5, 0.4, -3.0]), np.array([1.4, 0.4, 2.3, 1.5, 2.0, 3.0])
    joints = rng.uniform(low, high) if rng.random() < 0.5 else home
    for attempt in (joints, home):
        for name, angle in zip(arm_model.JOINTS, attempt, strict=True):
            scene.data.joint(name).qpos[0] = angle
        scene.forward()
        if scene.data.site(arm_model.TCP_SITE).xpos[2] > 0.24:
            return


def view_pose(
    rng: np.random.Generator, scene: Scene, *, distance_m: tuple[float, float] = (0.35, 0.85), max_roll_rad: float = 0.2
) -> np.ndarray:
    """A camera pose like those of a wrist scan: elevation 28..85 degrees, around the objects, nearly upright."""
    spots = [o.position_xy_m for o in scene.spec.objects]
    if spots and rng.random() < 0.4:
        aim = np.array(spots[int(rng.integers(len(spots)))]) + rng.uniform(-0.04, 0.04, 2)
    else:
        aim = np.array([0.42, 0.0]) + rng.uniform(-0.12, 0.12, 2)
    target = np.array([*aim, 0.03])
    azimuth, elevation = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(28, 85))
    flat = math.cos(elevation)
    away = np.array([math.cos(azimuth) * flat, math.sin(azimuth) * flat, math.sin(elevation)])
    return look_at(target + rng.uniform(*distance_m) * away, target, rng.uniform(-max_roll_rad, max_roll_rad))


class _ViewCutter:
    """Cuts labelled crops from one rendered frame, padded with black like the pyramid's border tiles."""

    def __init__(self, frame: RenderedFrame, owners: _Owners, rng: np.random.Generator) -> None:
        assert frame.geom_id is not None
        self._rng, self._owners = rng, owners
        self._height, self._width = frame.rgb.shape[:2]
        self._pad = self._height // 3
        pad = ((self._pad, self._pad), (self._pad, self._pad))
        self._image = np.pad(frame.rgb, (*pad, (0, 0)))
        ids = np.pad(frame.geom_id, pad, constant_values=-1)
        self._owner, self._part = owners.owner[ids], owners.part[ids]
        self._total = np.bincount(self._owner.ravel(), minlength=owners.n + 1)
        self._visible = [o for o in range(owners.n - 3) if self._total[o] > 200]

    def _around_object(self) -> tuple[float, float, float]:
        rng = self._rng
        mask = self._owner == int(rng.choice(self._visible))
        parts = [int(p) for p in np.unique(self._part[mask]) if p >= 0] if rng.random() < 0.2 else []
        if parts:
            mask &= self._part == int(rng.choice(parts))
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        extent = float(max(int(ys[-1] - ys[0]), int(xs[-1] - xs[0]), 16))
        size = extent * math.exp(rng.uniform(math.log(0.5), math.log(2.6)))
        shift = 0.25 * min(extent, size)
        y, x = (float(v[0] + v[-1]) / 2 for v in (ys, xs))
        return y + rng.uniform(-shift, shift), x + rng.uniform(-shift, shift), size

    def _anywhere(self) -> tuple[float, float, float]:
        rng = self._rng
        size = self._height * math.exp(rng.uniform(math.log(0.07), math.log(0.6)))
        return self._pad + rng.uniform(0, self._height), self._pad + rng.uniform(0, self._width), size

    def cut(self, facts: CropFacts, row: int) -> UInt8[np.ndarray, "64 64 3"] | None:
        """One crop; writes its facts into `row`. None if it shows nothing known."""
        rng = self._rng
        y, x, size = self._around_object() if self._visible and rng.random() < 0.62 else self._anywhere()
        side = int(np.clip(size, 26, 2 * self._pad))
        height, width = self._owner.shape
        top, left = (int(np.clip(v - side / 2, 0, limit - side)) for v, limit in ((y, height), (x, width)))
        if not self._label(facts, row, top, left, side):
            return None
        window = self._image[top : top + side, left : left + side]
        if rng.random() < 0.6:
            # as the feature pyramid resizes its tiles
            how = cv2.INTER_AREA if side > IMAGE_PX else cv2.INTER_CUBIC
            return np.asarray(cv2.resize(window, (IMAGE_PX, IMAGE_PX), interpolation=how))
        return np.asarray(Image.fromarray(window).resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BICUBIC))

    def _label(self, facts: CropFacts, row: int, top: int, left: int, side: int) -> bool:
        step = max(1, side // _LABEL_PX)
        window = (slice(top, top + side, step), slice(left, left + side, step))
        owner, part = self._owner[window], self._part[window]
        axis = (np.arange(owner.shape[0]) + 0.5) / owner.shape[0] - 0.5
        bell = np.exp(-(axis**2) / (2 * 0.18**2))
        weight = np.outer(bell, bell) / bell.sum() ** 2
        columns = len(ALL_PARTS) + 1
        code = (owner * columns + part + 1).ravel()
        n = self._owners.n
        count = np.bincount(code, minlength=(n + 1) * columns).reshape(-1, columns)
        centre = np.bincount(code, weights=weight.ravel(), minlength=(n + 1) * columns).reshape(-1, columns)
        share = count.sum(1)[:n] / owner.size
        there = np.flatnonzero(share > _MIN_SHARE)
        order = there[np.argsort(-centre[there].sum(1), kind="stable")][:OBJECTS_PER_CROP]
        for k, o in enumerate(order):
            facts.category[row, k] = self._owners.category[o]
            facts.colour[row, k] = self._owners.colour[o]
            facts.word[row, k] = self._owners.word[o]
            facts.share[row, k] = share[o]
            facts.complete[row, k] = min(1.0, share[o] * side * side / max(self._total[o], 1))
            facts.centre[row, k] = centre[o].sum()
            facts.part_centre[row, k] = centre[o, 1:]
        return len(order) > 0


def _scene_crops(seed: int, choice: PairChoice) -> tuple[list[np.ndarray], CropFacts]:
    spec = sample_spec(seed, choice=choice, nameless_share=0.12, two_tone_share=0.15, extra_weight=_EXTRA_WEIGHT)
    scene = build(spec)
    rng = np.random.default_rng((seed, 9))
    owners = _owners(scene)
    facts = CropFacts.empty(VIEWS_PER_SCENE * CROPS_PER_VIEW)
    images: list[np.ndarray] = []
    with SceneRenderer(scene) as renderer:
        for _ in range(VIEWS_PER_SCENE):
            _pose_arm(scene, rng)
            fovy = DEFAULT_FOVY_DEG if rng.random() < 0.7 else rng.uniform(44, 62)
            frame = renderer.render_from(view_pose(rng, scene), fovy_deg=fovy, segmentation=True)
            cutter = _ViewCutter(frame, owners, rng)
            for _ in range(CROPS_PER_VIEW):
                crop = cutter.cut(facts, len(images))
                if crop is not None:
                    images.append(crop)
    return images, facts.take(np.arange(len(images)))


def write_shard(first_seed: int, n_scenes: int, stem: Path, choice: PairChoice) -> None:
    """Renders `n_scenes` scenes and writes `<stem>.npy` (uint8 N 64 64 3) and `<stem>.npz` (facts)."""
    images: list[np.ndarray] = []
    facts: list[CropFacts] = []
    for seed in range(first_seed, first_seed + n_scenes):
        crops, told = _scene_crops(seed, choice)
        images += crops
        facts.append(told)
    whole = CropFacts.joined(facts)
    np.savez(stem.with_suffix(".npz"), **{k: getattr(whole, k) for k in whole.__dataclass_fields__})
    np.save(stem.with_suffix(".npy"), np.stack(images))


def generate(
    out: Path, *, first_seed: int, n_scenes: int, per_shard: int = 60, processes: int = 2, choice: PairChoice = "seen"
) -> None:
    """Writes shards of crops below `out`; shards that are already there are kept."""
    out.mkdir(parents=True, exist_ok=True)
    jobs = []
    for start in range(first_seed, first_seed + n_scenes, per_shard):
        stem = out / f"crops_{choice}_{start}"
        if not stem.with_suffix(".npy").exists():
            jobs.append((start, min(per_shard, first_seed + n_scenes - start), stem, choice))
    log.info("%d shards to render with %d processes", len(jobs), processes)
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=4) as pool:
        pool.starmap(write_shard, jobs, chunksize=1)
