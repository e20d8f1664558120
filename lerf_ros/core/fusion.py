# SPDX-License-Identifier: Apache-2.0
"""The cells of the surface map, in a hash table of voxels, and the kernels that fuse depth into them."""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64
from numba import njit

SHIFT = 0.37
"""Of the grid, in voxels: a table at a round height would lie on a face of it and, with noise, fill two layers."""

MAX_TILT = 5.7
"""Tangent of the largest angle (80 degrees) between the normal and the line of sight."""


CREATED, DOUBT, SINCE, REGION, WEAKLY, MASKED, TESTED = range(7)
"""Columns of `Cells.notes`: stamp of the first frame; how many frames in a row contradict the cell, in 1/1000; stamp of
the first of them; number of the changed region it is of (negative: it appeared there); last seen weakly through at;
masked out of old keyframes; compared with what older ones saw. 0 = none, never."""

WHOLE = 1000
"""Doubt that a frame with no more than the configured noise adds to a cell; noisy ones add less."""


class Cells:
    """An open-addressing hash table of voxels and what was summed up in each.

    sums: weight, position (3), colour (3), normal (3). marks: views, last frame, last stamp, bits of the frames seen.
    notes: what the watch for changes knows of each.
    """

    def __init__(self, rows: int) -> None:
        size = 1 << int(np.ceil(np.log2(2 * max(rows, 512))))
        self.count = 0
        self.table: Int32[np.ndarray, " M"] = np.full(size, -1, np.int32)
        self.keys: Int64[np.ndarray, " R"] = np.zeros(rows, np.int64)
        self.sums: Float64[np.ndarray, "R 10"] = np.zeros((rows, 10))
        self.marks: Int64[np.ndarray, "R 4"] = np.zeros((rows, 4), np.int64)
        self.notes: Int64[np.ndarray, "R 7"] = np.zeros((rows, 7), np.int64)

    def points(self) -> Float32[np.ndarray, "N 3"]:
        """Return the mean position of each, metres."""
        return np.asarray(self.sums[: self.count, 1:4] / self._weight(), np.float32)

    def colours(self) -> Float32[np.ndarray, "N 3"]:
        """Return the mean colour of each."""
        return np.asarray(self.sums[: self.count, 4:7] / self._weight(), np.float32)

    def normals(self) -> Float32[np.ndarray, "N 3"]:
        """Return the unit normal of each."""
        normals = self.sums[: self.count, 7:10]
        return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12), np.float32)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return all that a row holds."""
        return self.keys, self.sums, self.marks, self.notes

    def _weight(self) -> Float64[np.ndarray, "N 1"]:
        return np.asarray(np.maximum(self.sums[: self.count, :1], 1e-12))

    def with_room(self, extra: int) -> "Cells":
        """Return these cells with room for `extra` more: self, or a larger copy."""
        need = self.count + extra
        if need <= len(self.keys) and 2 * need <= len(self.table):
            return self
        new = Cells(need + need // 2)
        new.count = self.count
        for mine, other in zip(new.arrays(), self.arrays(), strict=True):
            mine[: self.count] = other[: self.count]
        _rehash(new.count, new.table, new.keys)
        return new

    def kept(self, keep: Bool[np.ndarray, " N"]) -> "Cells":
        """Return the cells that `keep` says: the last of them move into the gaps, all others stay in their rows."""
        count = int(keep.sum())
        rows = np.arange(count)
        rows[~keep[:count]] = count + np.flatnonzero(keep[count:])
        new = Cells(len(self.keys))
        new.count = count
        for mine, other in zip(new.arrays(), self.arrays(), strict=True):
            mine[:count] = other[rows]
        _rehash(new.count, new.table, new.keys)
        return new


@njit(nogil=True, cache=True)
@no_type_check
def _find(table: np.ndarray, keys: np.ndarray, key: int) -> np.int64:
    """Return the table position of a key, or of the empty place where it belongs."""
    mask = np.uint64(len(table) - 1)
    place = (np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20) & mask
    while table[place] >= 0 and keys[table[place]] != key:
        place = (place + np.uint64(1)) & mask
    return np.int64(place)  # numba needs a signed index


@njit(nogil=True, cache=True)
@no_type_check
def _rehash(count: int, table: np.ndarray, keys: np.ndarray) -> None:
    for row in range(count):
        table[_find(table, keys, keys[row])] = row


@njit(nogil=True, cache=True)
@no_type_check
def _key(x: float, y: float, z: float, box: np.ndarray, voxel: float) -> int:
    """Return the number of the voxel a world point lies in, -1 outside the workspace box."""
    if not (box[0] <= x < box[3] and box[1] <= y < box[4] and box[2] <= z < box[5]):
        return -1
    ny, nz = int((box[4] - box[1]) / voxel) + 2, int((box[5] - box[2]) / voxel) + 2
    ix, iy, iz = (x - box[0]) / voxel, (y - box[1]) / voxel, (z - box[2]) / voxel
    return (int(ix + SHIFT) * ny + int(iy + SHIFT)) * nz + int(iz + SHIFT)


@njit(nogil=True, cache=True)
@no_type_check
def _slope(depth: np.ndarray, u: int, v: int, du: int, dv: int, reach: float) -> float:
    """Return the change of depth over (du, dv) pixels at a pixel, NaN where neither side continues its surface.

    `reach` is the width of that step on the surface, metres. The difference is central on smooth surfaces, one-sided
    next to an edge.
    """
    z, ahead, behind = depth[v, u], depth[v + dv, u + du], depth[v - dv, u - du]
    up, down = ahead - z, z - behind
    up_ok = ahead > 0 and abs(up) < MAX_TILT * reach
    down_ok = behind > 0 and abs(down) < MAX_TILT * reach
    if up_ok and down_ok:
        if abs(up - down) < reach:
            return 0.5 * (up + down)
        return up if abs(up) < abs(down) else down
    if up_ok:
        return up
    return down if down_ok else np.nan


@njit(nogil=True, cache=True)
@no_type_check
def _normal(depth: np.ndarray, u: int, v: int, camera: np.ndarray, voxel: float, out: np.ndarray) -> float:
    """Write the camera-frame normal at a pixel; return the cosine to the line of sight, 0 where there is none."""
    height, width = depth.shape
    fx, fy, z = camera[0], camera[1], depth[v, u]
    step = min(max(int(voxel * fx / z + 0.5), 1), 16)
    if u < step or v < step or u >= width - step or v >= height - step:
        return 0.0
    x, y = (u - camera[2]) / fx, (v - camera[3]) / fy
    gu = _slope(depth, u, v, step, 0, step * z / fx) / step
    gv = _slope(depth, u, v, 0, step, step * z / fy) / step
    # derivatives of P = z (x, y, 1) by u and v; their cross product, towards the camera
    out[0], out[1] = gu * fx, gv * fy
    out[2] = -z - gu * fx * x - gv * fy * y
    norm = np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    if not norm > 0:
        return 0.0
    out /= norm
    return -(out[0] * x + out[1] * y + out[2]) / np.sqrt(x * x + y * y + 1)


@njit(nogil=True, cache=True)
@no_type_check
def fuse(
    depth: np.ndarray, views: np.ndarray, rgb: np.ndarray, camera: np.ndarray, pose: np.ndarray, box: np.ndarray,
    voxel: float, stride: int, frame: int, stamp: int, count: int, table: np.ndarray, keys: np.ndarray,
    sums: np.ndarray, marks: np.ndarray, notes: np.ndarray,
) -> int:  # fmt: skip
    """Add every `stride`-th pixel to its voxel; return the new number of voxels."""
    normal, world = np.zeros(3), np.zeros(3)
    for v in range(0, depth.shape[0], stride):
        for u in range(0, depth.shape[1], stride):
            z = depth[v, u]
            if z <= 0:
                continue
            x, y = (u - camera[2]) / camera[0] * z, (v - camera[3]) / camera[1] * z
            for i in range(3):
                world[i] = pose[i, 0] * x + pose[i, 1] * y + pose[i, 2] * z + pose[i, 3]
            key = _key(world[0], world[1], world[2], box, voxel)
            if key < 0:
                continue
            facing = _normal(depth, u, v, camera, voxel, normal)
            if facing * MAX_TILT < 1:
                continue
            place = _find(table, keys, key)
            row = table[place]
            if row < 0:
                row = table[place] = count
                keys[row], marks[row, 1], notes[row, CREATED] = key, -1, stamp
                count += 1
            weight = facing / (z * z)
            sums[row, 0] += weight
            for i in range(3):
                sums[row, 1 + i] += weight * world[i]
                sums[row, 4 + i] += weight * rgb[v, u, i]
                turned = pose[i, 0] * normal[0] + pose[i, 1] * normal[1] + pose[i, 2] * normal[2]
                sums[row, 7 + i] += weight * facing * turned
            if marks[row, 1] != frame:
                marks[row, 0] += 1
                marks[row, 1] = frame
                marks[row, 2] = max(marks[row, 2], stamp)
                marks[row, 3] |= 1 << (frame % 63)
            marks[row, 0] = max(marks[row, 0], views[v, u])
    return count


@njit(nogil=True, cache=True)
@no_type_check
def merge(
    count: int, sums: np.ndarray, marks: np.ndarray, notes: np.ndarray, box: np.ndarray, voxel: float,
    table: np.ndarray, new_keys: np.ndarray, new_sums: np.ndarray, new_marks: np.ndarray, new_notes: np.ndarray,
) -> int:  # fmt: skip
    """Sum cells up in larger voxels; return their number. Views: at least the union of the frames' bits."""
    total = 0
    for row in range(count):
        w = sums[row, 0]
        key = _key(sums[row, 1] / w, sums[row, 2] / w, sums[row, 3] / w, box, voxel)
        place = _find(table, new_keys, max(key, 0))
        new = table[place]
        if new < 0:
            new = table[place] = total
            new_keys[new] = max(key, 0)
            new_notes[new] = notes[row]
            total += 1
        new_sums[new] += sums[row]
        new_notes[new, CREATED] = min(new_notes[new, CREATED], notes[row, CREATED])
        new_notes[new, DOUBT] = min(new_notes[new, DOUBT], notes[row, DOUBT])
        if notes[row, REGION] == 0:  # a part of it is not contradicted
            new_notes[new, SINCE:TESTED] = new_notes[new, DOUBT] = 0
        bits = new_marks[new, 3] | marks[row, 3]
        union, rest = 0, bits
        while rest:
            rest &= rest - 1
            union += 1
        new_marks[new, 0] = max(new_marks[new, 0], marks[row, 0], union)
        new_marks[new, 1] = max(new_marks[new, 1], marks[row, 1])
        new_marks[new, 2] = max(new_marks[new, 2], marks[row, 2])
        new_marks[new, 3] = bits
    return total
