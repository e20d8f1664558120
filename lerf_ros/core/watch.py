# SPDX-License-Identifier: Apache-2.0
"""Watches for changes of the world: every frame is compared with the surface, before it is fused and after.

Before: cells that it sees through, or of another colour, are in doubt; connected ones make a region, stale at once, and
sure when enough frames agree. After: cells that are new where older keyframes had seen free space appeared. What old
keyframes show of either is masked out, so that nothing of it is taught any more; then the place is learned anew from
newer ones. When that is done what is gone leaves the surface, and nothing is stale.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, Int64
from scipy.spatial import cKDTree

from lerf_ros.config import ChangeConfig
from lerf_ros.core import change
from lerf_ros.core.change import CONFIRMED, THROUGH, WEAK, Margins, Verdict
from lerf_ros.core.focus import Place, Window, windows
from lerf_ros.core.forgetting import masked
from lerf_ros.core.fusion import CREATED, DOUBT, MASKED, REGION, SINCE, TESTED, WEAKLY, WHOLE, Cells
from lerf_ros.core.glance import Glance
from lerf_ros.core.keyframes import KeptImage, Keyframe, KeyframeStore
from lerf_ros.core.regions import AROUND_M, Region, Regions, groups
from lerf_ros.core.surface import SurfaceBuilder

log = logging.getLogger(__name__)

OLDER = 48
"""Keyframes that new cells are compared with, at most."""

AT_ONCE = 8
"""Keyframes of a loaded map that are looked at with each new one."""

FOOT_VOXELS = 6.0
"""Cells in doubt or seen through weakly, and this near to gone ones, go with them: the foot of a thing, within the
margin of what it stood on, and what too few keyframes had seen."""


class ChangeWatch:
    """Finds what has changed. Owner: the trainer thread.

    Args:
        config: when to believe it.
        surface: is compared, and loses what is gone; its cells carry the state.
        store: keyframes, whose pixels are masked out where they show what is no longer so.
        min_views: cells that fewer keyframes have seen are no part of any change: they answer nothing yet.
    """

    def __init__(self, config: ChangeConfig, surface: SurfaceBuilder, store: KeyframeStore, min_views: int) -> None:
        self._config, self._surface, self._store, self._min_views = config, surface, store, min_views
        self._glances: dict[int, Glance] = {}
        self.regions = Regions()
        self._windows: tuple[tuple[int, int], tuple[Window, ...]] = ((-1, -1), ())

    @property
    def least(self) -> int:
        """Connected cells that make a change."""
        return max(10, round(self._config.min_area_m2 / self._surface.voxel_m**2))

    def look(self, glance: Glance, step: int) -> Glance:
        """Compare a frame with the surface, before it is fused; return it with its noise."""
        cells = self._surface.cells
        if not cells.count:
            return glance
        points, normals = cells.points(), cells.normals()
        noise = change.noise(points, normals, glance, Margins.of(self._config), self._surface.voxel_m)
        glance = replace(glance, noise=noise)
        verdict = self._compare(points, normals, glance)
        other = change.recoloured(verdict, cells.colours(), glance)
        gone = (verdict.state == THROUGH) | other
        notes = cells.notes[: cells.count]
        again = (verdict.state == CONFIRMED) & ~gone
        notes[again, DOUBT] = notes[again, MASKED] = notes[again, WEAKLY] = 0
        again &= notes[:, REGION] >= 0  # what appeared is stale until it is relearned
        notes[again, SINCE] = notes[again, REGION] = 0
        notes[verdict.state == WEAK, WEAKLY] = glance.stamp_ns
        notes[gone & (notes[:, DOUBT] == 0), SINCE] = glance.stamp_ns
        notes[gone, DOUBT] += round(WHOLE / glance.noise)
        self._gather(cells, other, glance.stamp_ns, step)
        return glance

    def fused(self, keyframe: Keyframe, glance: Glance, step: int) -> None:
        """Compare what a keyframe added to the surface with what older ones had seen there."""
        held = {frame.id for frame in self._store.view()}
        self._glances = {number: each for number, each in self._glances.items() if number in held}
        cells = self._surface.cells
        notes, self._glances[keyframe.id] = cells.notes[: cells.count], glance
        self._catch_up()
        young = np.flatnonzero((notes[:, TESTED] == 0) & (cells.marks[: cells.count, 0] >= self._min_views))
        notes[young, TESTED] = 1
        begin_ns = notes[young, CREATED]
        older = [each for each in self._glances.values() if each.stamp_ns < begin_ns.max(initial=0)]
        if len(young) < self.least or not older:
            return
        some = np.linspace(0, len(older) - 1, min(len(older), OLDER)).astype(int)
        free = np.zeros(len(young))
        points, normals = cells.points(), cells.normals()
        for k in some:
            seen = self._compare(points[young], normals[young], older[k]).state == THROUGH
            free += (seen & (older[k].stamp_ns < begin_ns)) / older[k].noise
        fresh = young[free >= self._config.frames]
        for group in groups(points[fresh], self._surface.voxel_m, self.least):
            rows = fresh[group]
            since_ns = int(notes[rows, CREATED].min())
            region = self.regions.of(points[rows], notes[rows, REGION], since_ns, appeared=True)
            notes[rows, REGION], notes[rows, SINCE] = region.mark, region.since_ns
            self._believe(region, rows, region.since_ns, step)

    def windows(self, frames: tuple[Keyframe, ...]) -> tuple[Window, ...]:
        """Return the pixels of newer keyframes that show what is to be relearned."""
        if not len(self.regions):
            return ()
        state = (self._store.version, self.regions.version)
        if self._windows[0] != state:
            self._windows = (state, windows(frames, self.places()))
        return self._windows[1]

    def places(self) -> list[Place]:
        """Return what has changed for sure and is not relearned yet."""
        return [region.place() for region in self.regions if region.sure]

    def relearned(self, region: Region) -> None:
        """Drop what is gone from the surface; what appeared is like all the rest from now on."""
        cells = self._surface.cells
        notes, points = cells.notes[: cells.count], cells.points()
        mine = notes[:, REGION] == region.mark
        self.regions.end(region)
        if region.appeared:
            notes[mine, REGION] = notes[mine, SINCE] = 0
            return
        dropped = points[mine]
        if len(dropped):
            weak = np.flatnonzero(((notes[:, WEAKLY] > 0) | (notes[:, DOUBT] > 0)) & ~mine)
            near = cKDTree(dropped).query(points[weak], distance_upper_bound=FOOT_VOXELS * self._surface.voxel_m)[0]
            mine[weak[np.isfinite(near)]] = True
        before = self._shown(cells, mine, region) if region.recoloured else []
        self._surface.drop(mine)
        for image in before:
            depth_m = image.depth_m
            assert depth_m is not None
            self._surface.add(image, depth_m)
        log.info("relearned what changed at %s; %d surface points are gone", _written(region), len(dropped))

    def _compare(
        self, points: Float32[np.ndarray, "M 3"], normals: Float32[np.ndarray, "M 3"], glance: Glance
    ) -> Verdict:
        return change.compare(points, normals, glance, Margins.of(self._config), self._surface.voxel_m)

    def _catch_up(self) -> None:
        """Look at some keyframes of a loaded map that were not looked at yet."""
        missing = [frame for frame in self._store.view() if frame.id not in self._glances and frame.image.depth]
        for frame in missing[:AT_ONCE]:
            self._glance_of(frame)

    def _glance_of(self, frame: Keyframe) -> Glance | None:
        """Return a keyframe at a glance; that of a loaded one is made when it is first needed."""
        glance = self._glances.get(frame.id) or Glance.of(frame.image)
        if glance is not None and frame.id not in self._glances:
            cells = self._surface.cells
            margins, voxel_m = Margins.of(self._config), self._surface.voxel_m
            glance = replace(glance, noise=change.noise(cells.points(), cells.normals(), glance, margins, voxel_m))
            self._glances[frame.id] = glance
        return glance

    def _gather(self, cells: Cells, other: Bool[np.ndarray, " N"], now_ns: int, step: int) -> None:
        """Make regions of connected cells in doubt; end those whose cells are all there as ever."""
        notes, points = cells.notes[: cells.count], cells.points()
        seen = cells.marks[: cells.count, 0] >= self._min_views
        doubtful = np.flatnonzero((notes[:, DOUBT] >= WHOLE) & (notes[:, REGION] >= 0) & seen)
        for group in groups(points[doubtful], self._surface.voxel_m, self.least):
            rows = doubtful[group]
            since_ns = int(notes[rows, SINCE].min())
            region = self.regions.of(points[rows], notes[rows, REGION], since_ns, appeared=False)
            notes[rows, REGION] = region.mark
            region.recoloured |= bool(other[rows].any())
            sure = rows[notes[rows, DOUBT] >= WHOLE * self._config.frames]
            if len(sure) >= self.least or (region.sure and len(sure)):
                self._believe(region, sure[notes[sure, MASKED] == 0], region.since_ns, step)
        for region in self.regions:
            left = notes[:, REGION] == region.mark
            if not region.appeared and left.sum() < self.least:
                notes[left, REGION] = 0
                self.regions.end(region)
                if region.sure:
                    self._returned(region, now_ns, step)

    def _returned(self, region: Region, now_ns: int, step: int) -> None:
        """Take what was gone for sure, and is there again, as something that appeared: keyframes saw its place empty.
        """
        cells = self._surface.cells
        notes, points, normals = cells.notes[: cells.count], cells.points(), cells.normals()
        inside = ((points >= region.low) & (points <= region.high)).all(axis=1)
        rows = np.flatnonzero(inside & (notes[:, REGION] == 0) & (notes[:, DOUBT] == 0))
        through = np.zeros(len(rows), bool)
        for frame in self._store.view():
            if region.since_ns <= frame.image.stamp_ns < now_ns and (glance := self._glance_of(frame)) is not None:
                through |= self._compare(points[rows], normals[rows], glance).state == THROUGH
        rows = rows[through]
        if len(rows) < self.least:
            return
        back = self.regions.of(points[rows], notes[rows, REGION], now_ns, appeared=True)
        notes[rows, REGION], notes[rows, SINCE] = back.mark, now_ns
        self._believe(back, rows, now_ns, step)

    def _believe(self, region: Region, rows: Int64[np.ndarray, " M"], until_ns: int, step: int) -> None:
        """Mask what keyframes of before a stamp show of some cells: that they are there, or that they are not."""
        if not len(rows):
            return
        if not region.sure:
            log.info("the map has changed at %s", _written(region))
        region.sure, region.renewed_at = True, step
        cells = self._surface.cells
        cells.notes[rows, MASKED] = 1
        wrong = (THROUGH,) if region.appeared else (CONFIRMED, WEAK)
        points, normals = cells.points()[rows], cells.normals()[rows]
        new = []
        for frame in self._store.view():
            if frame.image.stamp_ns < until_ns and (glance := self._glance_of(frame)) is not None:
                verdict = self._compare(points, normals, glance)
                image = _without(frame.image, glance, verdict, wrong)
                if image is not frame.image:
                    new.append(Keyframe(frame.id, image, frame.pyramid, frame.patches))
        self._store.replace(new)

    def _shown(self, cells: Cells, which: Bool[np.ndarray, " N"], region: Region) -> list[KeptImage]:
        """Return newer keyframes with everything masked out but what they show of some cells."""
        out = []
        points, normals = cells.points()[which], cells.normals()[which]
        for frame in self._store.view():
            if frame.image.stamp_ns >= region.since_ns and (glance := self._glance_of(frame)) is not None:
                verdict = self._compare(points, normals, glance)
                blocks = verdict.blocks(verdict.state == CONFIRMED, glance)
                out.append(masked(frame.image, ~glance.pixels(blocks, frame.image.rgb.shape[:2])))
        return out


def _without(image: KeptImage, glance: Glance, verdict: Verdict, wrong: Iterable[int]) -> KeptImage:
    """Return the image without what lies within `AROUND_M` of blocks where cells are in one of the states `wrong`."""
    which = np.isin(verdict.state, list(wrong))
    if not which.any():
        return image
    blocks = verdict.blocks(which, glance)
    around = round(AROUND_M * glance.camera[0] / float(np.median(glance.near_m[blocks])))
    return masked(image, glance.pixels(blocks, image.rgb.shape[:2], max(around, 1)))


def _written(region: Region) -> str:
    x, y, z = (region.low + region.high) / 2
    return f"({x:.2f}, {y:.2f}, {z:.2f}) m"
