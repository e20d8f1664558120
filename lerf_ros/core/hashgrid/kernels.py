# SPDX-License-Identifier: Apache-2.0
"""numba kernels of the hash grid. They release the GIL; the caller splits the work over threads by levels, so no two
threads write one address: no atomics, and the result does not depend on the number of threads.

Points and features are stored axis by axis, [3, N] and [L*F, N]. One level after the other, so that its table stays in
the cache while all points pass. They pass in blocks: where the points lie is computed first (vectorised: no table is
touched), then large tables are asked for their rows, and only then the rows are used: one wait overlaps with the next.
"""

from typing import Any, no_type_check

import numpy as np
import numpy.typing as npt
from numba import njit

from lerf_ros.core.hashgrid.prefetch import prefetch

Array = npt.NDArray[Any]

BLOCK = 256
"""Points a block: its buffers stay in the first cache, the table rows it asks for in the second."""
PREFETCH_FROM = 1 << 18
"""Entries of a level's table from which on rows are prefetched: 1 MB, a second-level cache."""

MARKED_ROWS_LOG2 = 7
"""log2 of the rows that share a mark: 128."""
MARK_FROM = 1 << 21
"""Entries of a level's table from which on `scatter` marks what it touches; smaller ones are marked whole, as looking
through them costs less than marking."""

# Without numpy's error model a division checks for zero, and nothing around it is vectorised.
jit = njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
_inline = njit(nogil=True, fastmath=True, cache=True, inline="always")
_P1, _P2, _ONE = np.uint32(2654435761), np.uint32(805459861), np.uint32(1)
_FRACTIONS = 8 * BLOCK


@_inline
@no_type_check
def _wrapped(row: int, size: int) -> int:
    """Row of a dense level; no vertex lies more than once around. Never beyond the level, whatever the point was."""
    return min(np.uint32(row - size) if row >= size else row, np.uint32(size - _ONE))


@jit
@no_type_check
def _locate(x: Array, y: Array, z: Array, scale: float, resolution: int, size: int, rows: Array, values: Array) -> None:
    """Write the rows of the 8 corners of each point's cell (x fastest), and where in the cell the point lies.

    Buffers are flat: `rows` holds `BLOCK` entries a corner, `values` those, for the caller, and then as many an axis.
    LLVM vectorises what has few base addresses to compare, and indices that cannot be negative.
    """
    half, side, area = np.float32(0.5), np.uint32(resolution), np.uint32(resolution * resolution)
    m, mask = np.uint32(size), np.uint32(size - 1)
    dense = resolution**3 <= size
    for n in range(len(x)):
        px, py, pz = x[n] * scale + half, y[n] * scale + half, z[n] * scale + half
        ix, iy, iz = np.int32(px), np.int32(py), np.int32(pz)
        values[_FRACTIONS + n] = px - np.float32(ix)
        values[_FRACTIONS + BLOCK + n] = py - np.float32(iy)
        values[_FRACTIONS + 2 * BLOCK + n] = pz - np.float32(iz)
        # Every product and sum is cut to 32 bits: it wraps as the hash wants, and vectors are twice as long.
        step_y, step_z = (side, area) if dense else (_P1, _P2)
        x0 = np.uint32(ix)
        x1 = np.uint32(x0 + _ONE)
        y0, z0 = np.uint32(np.uint32(iy) * step_y), np.uint32(np.uint32(iz) * step_z)
        y1, z1 = np.uint32(y0 + step_y), np.uint32(z0 + step_z)
        if dense:
            rows[n] = _wrapped(np.uint32(x0 + y0 + z0), m)
            rows[BLOCK + n] = _wrapped(np.uint32(x1 + y0 + z0), m)
            rows[2 * BLOCK + n] = _wrapped(np.uint32(x0 + y1 + z0), m)
            rows[3 * BLOCK + n] = _wrapped(np.uint32(x1 + y1 + z0), m)
            rows[4 * BLOCK + n] = _wrapped(np.uint32(x0 + y0 + z1), m)
            rows[5 * BLOCK + n] = _wrapped(np.uint32(x1 + y0 + z1), m)
            rows[6 * BLOCK + n] = _wrapped(np.uint32(x0 + y1 + z1), m)
            rows[7 * BLOCK + n] = _wrapped(np.uint32(x1 + y1 + z1), m)
        else:
            rows[n] = (x0 ^ y0 ^ z0) & mask
            rows[BLOCK + n] = (x1 ^ y0 ^ z0) & mask
            rows[2 * BLOCK + n] = (x0 ^ y1 ^ z0) & mask
            rows[3 * BLOCK + n] = (x1 ^ y1 ^ z0) & mask
            rows[4 * BLOCK + n] = (x0 ^ y0 ^ z1) & mask
            rows[5 * BLOCK + n] = (x1 ^ y0 ^ z1) & mask
            rows[6 * BLOCK + n] = (x0 ^ y1 ^ z1) & mask
            rows[7 * BLOCK + n] = (x1 ^ y1 ^ z1) & mask


@jit
@no_type_check
def _weigh(values: Array, count: int) -> None:
    """Write the trilinear weights of the 8 corners, from the fractions."""
    one = np.float32(1)
    for n in range(count):
        f = _FRACTIONS + n
        fx, fy, fz = values[f], values[f + BLOCK], values[f + 2 * BLOCK]
        gx, gy, gz = one - fx, one - fy, one - fz
        values[n] = gx * (gy * gz)
        values[BLOCK + n] = fx * (gy * gz)
        values[2 * BLOCK + n] = gx * (fy * gz)
        values[3 * BLOCK + n] = fx * (fy * gz)
        values[4 * BLOCK + n] = gx * (gy * fz)
        values[5 * BLOCK + n] = fx * (gy * fz)
        values[6 * BLOCK + n] = gx * (fy * fz)
        values[7 * BLOCK + n] = fx * (fy * fz)


@jit
@no_type_check
def _fetch(table: Array, rows: Array, count: int) -> None:
    """Ask for the rows of a block, so that they arrive while others are worked on."""
    if table.size < PREFETCH_FROM:
        return
    flat = table.reshape(-1)
    for c in range(8):
        for n in range(count):
            prefetch(flat, np.int64(rows[c * BLOCK + n]) * table.shape[1])


@jit
@no_type_check
def encode(
    x: Array, table: Array, scale: Array, resolution: Array, offset: Array, size: Array, levels: Array, out: Array
) -> None:
    """Write the trilinear features of unit-cube points `x` [3, N] into `out` [L*F, N], for the given `levels` only."""
    rows, values = np.empty(8 * BLOCK, np.uint32), np.empty(11 * BLOCK, np.float32)
    features = table.shape[1]
    for level in levels:
        part = table[offset[level] : offset[level] + size[level]]
        for first in range(0, x.shape[1], BLOCK):
            count = min(BLOCK, x.shape[1] - first)
            q = slice(first, first + count)
            _locate(x[0, q], x[1, q], x[2, q], scale[level], resolution[level], size[level], rows, values)
            _fetch(part, rows, count)
            _weigh(values, count)
            for k in range(0, features, 2):
                f = level * features + k
                _gather_pair(part, rows, values, count, k, out[f, q], out[f + 1, q])


@jit
@no_type_check
def _gather_pair(table: Array, rows: Array, weights: Array, count: int, k: int, out_a: Array, out_b: Array) -> None:
    """Weighted sums of features k and k + 1 of a block: a pair stays in registers."""
    for n in range(count):
        a = np.float32(0)
        b = np.float32(0)
        for c in range(8):
            row, w = np.int64(rows[c * BLOCK + n]), weights[c * BLOCK + n]
            a += w * table[row, k]
            b += w * table[row, k + 1]
        out_a[n] = a
        out_b[n] = b


@jit
@no_type_check
def scatter(
    x: Array, grad_out: Array, scale: Array, resolution: Array, offset: Array, size: Array, levels: Array, grad: Array,
    marks: Array,
) -> None:  # fmt: skip
    """Add the gradient `grad_out` [L*F, N] of an encoding to `grad` [rows, F], for the given `levels` only, and mark
    the blocks of rows that were touched. (Threads may mark the same block, with the same value.)"""
    rows, values = np.empty(8 * BLOCK, np.uint32), np.empty(11 * BLOCK, np.float32)
    features = grad.shape[1]
    for level in levels:
        begin, end = offset[level], offset[level] + size[level]
        part = grad[begin:end]
        if part.size < MARK_FROM:
            marks[begin >> MARKED_ROWS_LOG2 : (end - 1 >> MARKED_ROWS_LOG2) + 1] = 1
        for first in range(0, x.shape[1], BLOCK):
            count = min(BLOCK, x.shape[1] - first)
            q = slice(first, first + count)
            _locate(x[0, q], x[1, q], x[2, q], scale[level], resolution[level], size[level], rows, values)
            _fetch(part, rows, count)
            _weigh(values, count)
            for k in range(0, features, 2):
                f = level * features + k
                _scatter_pair(grad_out[f, q], grad_out[f + 1, q], rows, values, count, k, part)
            if part.size >= MARK_FROM:
                for c in range(8):
                    for row in rows[c * BLOCK : c * BLOCK + count]:
                        marks[begin + row >> MARKED_ROWS_LOG2] = 1


@jit
@no_type_check
def _scatter_pair(grad_a: Array, grad_b: Array, rows: Array, weights: Array, count: int, k: int, grad: Array) -> None:
    """The transpose of `_gather_pair`."""
    for n in range(count):
        a = grad_a[n]
        b = grad_b[n]
        for c in range(8):
            row, w = np.int64(rows[c * BLOCK + n]), weights[c * BLOCK + n]
            grad[row, k] += w * a
            grad[row, k + 1] += w * b


@jit
@no_type_check
def differentiate(
    x: Array, table: Array, grad_out: Array, scale: Array, resolution: Array, offset: Array, size: Array, grad_x: Array,
    begin: int, end: int,
) -> None:  # fmt: skip
    """Add the gradient of an encoding with respect to its points to `grad_x` [3, N], for points begin to end."""
    rows, values = np.empty(8 * BLOCK, np.uint32), np.empty(11 * BLOCK, np.float32)
    features = table.shape[1]
    for level in range(len(scale)):
        part = table[offset[level] : offset[level] + size[level]]
        for first in range(begin, end, BLOCK):
            count = min(BLOCK, end - first)
            q = slice(first, first + count)
            _locate(x[0, q], x[1, q], x[2, q], scale[level], resolution[level], size[level], rows, values)
            _fetch(part, rows, count)
            values[: 8 * BLOCK] = 0
            for k in range(0, features, 2):
                f = level * features + k
                _project_pair(part, rows, grad_out[f, q], grad_out[f + 1, q], count, k, values)
            _slope(values, scale[level], grad_x[0, q], grad_x[1, q], grad_x[2, q])


@jit
@no_type_check
def _project_pair(table: Array, rows: Array, grad_a: Array, grad_b: Array, count: int, k: int, towards: Array) -> None:
    """Add to `towards` how far features k and k + 1 of each corner lie along the gradient."""
    for n in range(count):
        a = grad_a[n]
        b = grad_b[n]
        for c in range(8):
            row = np.int64(rows[c * BLOCK + n])
            towards[c * BLOCK + n] += table[row, k] * a + table[row, k + 1] * b


@jit
@no_type_check
def _slope(towards: Array, scale: float, grad_x: Array, grad_y: Array, grad_z: Array) -> None:
    """Add the slope of the trilinear interpolation of `towards` to the gradient of a block."""
    one = np.float32(1)
    for n in range(len(grad_x)):
        f = _FRACTIONS + n
        fx, fy, fz = towards[f], towards[f + BLOCK], towards[f + 2 * BLOCK]
        gx, gy, gz = one - fx, one - fy, one - fz
        t0, t1, t2, t3 = towards[n], towards[BLOCK + n], towards[2 * BLOCK + n], towards[3 * BLOCK + n]
        t4, t5 = towards[4 * BLOCK + n], towards[5 * BLOCK + n]
        t6, t7 = towards[6 * BLOCK + n], towards[7 * BLOCK + n]
        dx = gz * (gy * (t1 - t0) + fy * (t3 - t2)) + fz * (gy * (t5 - t4) + fy * (t7 - t6))
        dy = gz * (gx * (t2 - t0) + fx * (t3 - t1)) + fz * (gx * (t6 - t4) + fx * (t7 - t5))
        dz = gy * (gx * (t4 - t0) + fx * (t5 - t1)) + fy * (gx * (t6 - t2) + fx * (t7 - t3))
        grad_x[n] += dx * scale
        grad_y[n] += dy * scale
        grad_z[n] += dz * scale
