# SPDX-License-Identifier: Apache-2.0
"""The surface map: depth of all keyframes fused into one set of points, a voxel each.

Each voxel keeps weighted sums of position, colour and normal of the samples that fell into it, and the number of
keyframes that saw it (LERF's visibility filter needs that). Near samples weigh more, and so do frontal ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64, UInt8

from lerf_ros.config import SurfaceConfig, WorkspaceConfig
from lerf_ros.core import fusion
from lerf_ros.core.fusion import DOUBT, REGION, SINCE, WHOLE, Cells
from lerf_ros.core.keyframes import KeptImage, PosedImage

SAMPLES_PER_VOXEL = 1.7
"""Along one axis, so that a voxel in view is not skipped between two samples."""

UNKNOWN = np.iinfo(np.int64).max
"""Region of cells that were stale in a map that was saved: none that the watch has given a number."""


@dataclass(frozen=True, eq=False)
class SurfaceMap:
    """Points of all surfaces inside the workspace, in the world frame.

    Attributes:
        points: metres.
        normals: unit, pointing towards the cameras that saw them.
        colours: RGB.
        views: number of keyframes that saw the point.
        last_seen_ns: stamp of the newest of them, nanoseconds.
        voxel_m: spacing of the points, metres.
        stale_since_ns: stamp of the first image that contradicts the point, or showed it where nothing had been; 0
            where none does, or what is there now has been relearned. None: 0 everywhere.
    """

    points: Float32[np.ndarray, "N 3"]
    normals: Float32[np.ndarray, "N 3"]
    colours: UInt8[np.ndarray, "N 3"]
    views: Int32[np.ndarray, " N"]
    last_seen_ns: Int64[np.ndarray, " N"]
    voxel_m: float
    stale_since_ns: Int64[np.ndarray, " N"] | None = None

    @property
    def stale(self) -> Bool[np.ndarray, " N"]:
        """Which points newer images contradict: the place has changed and is not relearned yet."""
        return np.zeros(len(self), bool) if self.stale_since_ns is None else self.stale_since_ns > 0

    def __len__(self) -> int:
        return len(self.points)

    def answerable(self, min_views: int) -> Bool[np.ndarray, " N"]:
        """Return which points enough keyframes have seen to be answered with."""
        return self.views >= min_views


class SurfaceBuilder:
    """Fuses depth images. Owner: the trainer thread."""

    def __init__(self, config: SurfaceConfig, workspace: WorkspaceConfig) -> None:
        self._config = config
        self._low = np.array(workspace.min_m)
        self._high = np.array(workspace.max_m)
        self.clear()

    def clear(self, voxel_m: float = 0.0) -> None:
        """Forget everything, and start with the configured voxel size again, or the given one if that is larger."""
        self._voxel = max(self._config.voxel_m, voxel_m)
        self._frames = 0
        self._cells = Cells(1024)

    def add(
        self, image: PosedImage | KeptImage, depth_m: Float32[np.ndarray, "H W"],
        views: Int32[np.ndarray, "H W"] | None = None,
    ) -> None:  # fmt: skip
        """Fuse one keyframe's z-depth (metres; 0 or NaN where unknown), measured or rendered.

        `views` tells of each pixel how many keyframes are known to see its point, where more is known than this one.
        Pixels outside `image.mask`, at depth discontinuities and on surfaces seen at a grazing angle are left out.
        """
        depth = np.where(np.isfinite(depth_m), depth_m, np.float32(0))
        if (mask := image.mask) is not None:
            depth = np.where(mask, depth, np.float32(0))
        seen = depth[depth > 0]
        if not len(seen):
            return
        k = image.intrinsics
        stride = max(1, int(self._voxel / SAMPLES_PER_VOXEL * min(k.fx, k.fy) / float(np.median(seen))))
        samples = -(-depth.shape[0] // stride) * -(-depth.shape[1] // stride)
        cells = self._cells = self._cells.with_room(samples)
        camera = np.array([k.fx, k.fy, k.cx, k.cy])
        box = np.concatenate([self._low, self._high])
        known = np.ones(depth.shape, np.int32) if views is None else views
        cells.count = fusion.fuse(
            np.ascontiguousarray(depth, np.float32), known, image.rgb, camera, image.T_world_cam, box, self._voxel,
            stride, self._frames, image.stamp_ns, cells.count, cells.table, cells.keys, cells.sums, cells.marks,
            cells.notes,
        )  # fmt: skip
        self._frames += 1
        if cells.count > 2 * self._config.max_points:
            self._coarsen()

    def build(self) -> SurfaceMap:
        """Return the points fused so far; with too many of them the voxels grow first, for good."""
        while self._cells.count > self._config.max_points:
            self._coarsen()
        cells = self._cells
        marks, notes = cells.marks[: cells.count], cells.notes[: cells.count]
        return SurfaceMap(
            points=cells.points(),
            normals=cells.normals(),
            colours=np.clip(cells.colours() + 0.5, 0, 255).astype(np.uint8),
            views=marks[:, 0].astype(np.int32),
            last_seen_ns=marks[:, 2].copy(),
            voxel_m=self._voxel,
            stale_since_ns=np.where(notes[:, REGION] != 0, notes[:, SINCE], 0),
        )

    def state(self) -> dict[str, np.ndarray]:
        """Return a copy of what `resume` goes on from: cells by name, and the number of keyframes fused."""
        cells, count = self._cells, self._cells.count
        arrays = {name: getattr(cells, name)[:count].copy() for name in ("keys", "sums", "marks")}
        return arrays | {"frames": np.array([self._frames], np.int64)}

    def resume(
        self, state: Mapping[str, np.ndarray], voxel_m: float, stale_since_ns: Int64[np.ndarray, " N"] | None = None
    ) -> None:
        """Go on from a `state` with cells of that size (metres); without keys, cells are found by their points.

        Of what the watch for changes knew there is only which cells were stale: they are in doubt until seen again.
        """
        count = len(state["sums"])
        old = Cells(max(count, 1024))
        old.count, self._voxel, self._frames = count, voxel_m, int(state["frames"][0])
        for name in state.keys() & {"keys", "sums", "marks"}:
            getattr(old, name)[:count] = state[name]
        if stale_since_ns is not None:
            old.notes[:count, SINCE] = stale_since_ns
            old.notes[:count, DOUBT] = np.where(stale_since_ns > 0, WHOLE, 0)
            old.notes[:count, REGION] = np.where(stale_since_ns > 0, UNKNOWN, 0)
        self._cells = old.kept(np.ones(count, bool)) if "keys" in state else self._merged(old)

    def forget(self, low: Float[np.ndarray, " 3"], high: Float[np.ndarray, " 3"]) -> int:
        """Drop the points inside a box (metres, world); return how many there were."""
        points = self._cells.points()
        return self.drop(np.asarray(((points >= low) & (points <= high)).all(axis=1)))

    def drop(self, gone: Bool[np.ndarray, " N"]) -> int:
        """Drop some of the cells; return how many. The last ones move into the gaps, all others keep their rows."""
        if gone.any():
            self._cells = self._cells.kept(~gone)
        return int(gone.sum())

    @property
    def cells(self) -> Cells:
        """The cells; those who read them and write their notes do so in the trainer thread, between two calls."""
        return self._cells

    @property
    def voxel_m(self) -> float:
        """Side of a cell, metres."""
        return self._voxel

    def _coarsen(self) -> None:
        """Merge cells into larger ones, so many that `max_points` should hold (points of a surface ~ 1 / voxel^2)."""
        self._voxel *= max(1.05, 1.05 * float(np.sqrt(self._cells.count / self._config.max_points)))
        self._cells = self._merged(self._cells)

    def _merged(self, old: Cells) -> Cells:
        """Return cells of the present size with all that is in others."""
        new = Cells(max(old.count, 1024))
        box = np.concatenate([self._low, self._high])
        new.count = fusion.merge(
            old.count, old.sums, old.marks, old.notes, box, self._voxel,
            new.table, new.keys, new.sums, new.marks, new.notes,
        )  # fmt: skip
        return new
