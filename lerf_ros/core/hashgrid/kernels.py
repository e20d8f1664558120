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

_jit = njit(nogil=True, fastmath=True, cache=True)
_inline = njit(nogil=True, fastmath=True, cache=True, inline="always")
_P1, _P2, _ONE = np.uint32(2654435761), np.uint32(805459861), np.uint32(1)


@_inline
@no_type_check
def _wrapped(row: int, size: int) -> int:
    """Row of a dense level; no vertex lies more than once around. Never beyond the level, whatever the point was."""
    return min(np.uint32(row - size) if row >= size else row, np.uint32(size - _ONE))


@_jit
@no_type_check
def _locate(
    x: Array, first: int, count: int, scale: float, resolution: int, size: int, rows: Array, fractions: Array
) -> None:
    """Write the rows of the 8 corners of each point's cell (x fastest), and where in the cell the point lies.

    Buffers are flat, `BLOCK` entries a corner or an axis: with fewer base addresses to compare, LLVM vectorises.
    """
    n_points = x.shape[1]
    flat = x.reshape(-1)
    half, side, area = np.float32(0.5), np.uint32(resolution), np.uint32(resolution * resolution)
    m, mask = np.uint32(size), np.uint32(size - 1)
    dense = resolution**3 <= size
    for n in range(count):
        px = flat[first + n] * scale + half
        py = flat[n_points + first + n] * scale + half
        pz = flat[2 * n_points + first + n] * scale + half
        ix, iy, iz = np.int32(px), np.int32(py), np.int32(pz)
        fractions[n] = px - np.float32(ix)
        fractions[BLOCK + n] = py - np.float32(iy)
        fractions[2 * BLOCK + n] = pz - np.float32(iz)
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


@_jit
@no_type_check
def _weigh(fractions: Array, count: int, weights: Array) -> None:
    """Write the trilinear weights of the 8 corners."""
    one = np.float32(1)
    for n in range(count):
        fx, fy, fz = fractions[n], fractions[BLOCK + n], fractions[2 * BLOCK + n]
        gx, gy, gz = one - fx, one - fy, one - fz
        weights[n] = gx * (gy * gz)
        weights[BLOCK + n] = fx * (gy * gz)
        weights[2 * BLOCK + n] = gx * (fy * gz)
        weights[3 * BLOCK + n] = fx * (fy * gz)
        weights[4 * BLOCK + n] = gx * (gy * fz)
        weights[5 * BLOCK + n] = fx * (gy * fz)
        weights[6 * BLOCK + n] = gx * (fy * fz)
        weights[7 * BLOCK + n] = fx * (fy * fz)


@_jit
@no_type_check
def _fetch(table: Array, rows: Array, count: int) -> None:
    """Ask for the rows of a block, so that they arrive while others are worked on."""
    if table.size < PREFETCH_FROM:
        return
    flat = table.reshape(-1)
    for c in range(8):
        for n in range(count):
            prefetch(flat, np.int64(rows[c * BLOCK + n]) * table.shape[1])


@_jit
@no_type_check
def encode(
    x: Array, table: Array, scale: Array, resolution: Array, offset: Array, size: Array, levels: Array, out: Array
) -> None:
    """Write the trilinear features of unit-cube points `x` [3, N] into `out` [L*F, N], for the given `levels` only."""
    rows, fractions = np.empty(8 * BLOCK, np.uint32), np.empty(3 * BLOCK, np.float32)
    weights = np.empty(8 * BLOCK, np.float32)
    features = table.shape[1]
    for level in levels:
        part = table[offset[level] : offset[level] + size[level]]
        for first in range(0, x.shape[1], BLOCK):
            count = min(BLOCK, x.shape[1] - first)
            _locate(x, first, count, scale[level], resolution[level], size[level], rows, fractions)
            _fetch(part, rows, count)
            _weigh(fractions, count, weights)
            for k in range(0, features, 2):
                f = level * features + k
                _gather_pair(part, rows, weights, count, k, out[f, first:], out[f + 1, first:])


@_jit
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


@_jit
@no_type_check
def scatter(
    x: Array, grad_out: Array, scale: Array, resolution: Array, offset: Array, size: Array, levels: Array, grad: Array
) -> None:
    """Add the gradient `grad_out` [L*F, N] of an encoding to `grad` [rows, F], for the given `levels` only."""
    rows, fractions = np.empty(8 * BLOCK, np.uint32), np.empty(3 * BLOCK, np.float32)
    weights = np.empty(8 * BLOCK, np.float32)
    features = grad.shape[1]
    for level in levels:
        part = grad[offset[level] : offset[level] + size[level]]
        for first in range(0, x.shape[1], BLOCK):
            count = min(BLOCK, x.shape[1] - first)
            _locate(x, first, count, scale[level], resolution[level], size[level], rows, fractions)
            _fetch(part, rows, count)
            _weigh(fractions, count, weights)
            for k in range(0, features, 2):
                f = level * features + k
                _scatter_pair(grad_out[f, first:], grad_out[f + 1, first:], rows, weights, count, k, part)


@_jit
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


@_jit
@no_type_check
def differentiate(
    x: Array, table: Array, grad_out: Array, scale: Array, resolution: Array, offset: Array, size: Array, grad_x: Array,
    begin: int, end: int,
) -> None:  # fmt: skip
    """Add the gradient of an encoding with respect to its points to `grad_x` [3, N], for points begin to end."""
    rows, fractions = np.empty(8 * BLOCK, np.uint32), np.empty(3 * BLOCK, np.float32)
    towards = np.empty(8 * BLOCK, np.float32)
    features = table.shape[1]
    for level in range(len(scale)):
        part = table[offset[level] : offset[level] + size[level]]
        for first in range(begin, end, BLOCK):
            count = min(BLOCK, end - first)
            _locate(x, first, count, scale[level], resolution[level], size[level], rows, fractions)
            _fetch(part, rows, count)
            towards[:] = 0
            for k in range(0, features, 2):
                f = level * features + k
                _project_pair(part, rows, grad_out[f, first:], grad_out[f + 1, first:], count, k, towards)
            _slope(towards, fractions, count, scale[level], grad_x, first)


@_jit
@no_type_check
def _project_pair(table: Array, rows: Array, grad_a: Array, grad_b: Array, count: int, k: int, towards: Array) -> None:
    """Add to `towards` how far features k and k + 1 of each corner lie along the gradient."""
    for n in range(count):
        a = grad_a[n]
        b = grad_b[n]
        for c in range(8):
            row = np.int64(rows[c * BLOCK + n])
            towards[c * BLOCK + n] += table[row, k] * a + table[row, k + 1] * b


@_jit
@no_type_check
def _slope(towards: Array, fractions: Array, count: int, scale: float, grad_x: Array, first: int) -> None:
    """Add the slope of the trilinear interpolation of `towards` to `grad_x`."""
    one, n_points = np.float32(1), grad_x.shape[1]
    flat = grad_x.reshape(-1)
    for n in range(count):
        fx, fy, fz = fractions[n], fractions[BLOCK + n], fractions[2 * BLOCK + n]
        gx, gy, gz = one - fx, one - fy, one - fz
        t0, t1, t2, t3 = towards[n], towards[BLOCK + n], towards[2 * BLOCK + n], towards[3 * BLOCK + n]
        t4, t5 = towards[4 * BLOCK + n], towards[5 * BLOCK + n]
        t6, t7 = towards[6 * BLOCK + n], towards[7 * BLOCK + n]
        dx = gz * (gy * (t1 - t0) + fy * (t3 - t2)) + fz * (gy * (t5 - t4) + fy * (t7 - t6))
        dy = gz * (gx * (t2 - t0) + fx * (t3 - t1)) + fz * (gx * (t6 - t4) + fx * (t7 - t5))
        dz = gy * (gx * (t4 - t0) + fx * (t5 - t1)) + fy * (gx * (t6 - t2) + fx * (t7 - t3))
        flat[first + n] += dx * scale
        flat[n_points + first + n] += dy * scale
        flat[2 * n_points + first + n] += dz * scale


@_jit
@no_type_check
def adam_rows(
    p: Array, m: Array, v: Array, grad: Array, lr: np.float32, c1: np.float32, c2: np.float32, decay: np.float32
) -> None:
    """Adam (beta .9, .99) on the rows whose gradient is not zero; clears the gradient in the same pass."""
    for i in range(p.shape[0]):
        touched = False
        for k in range(p.shape[1]):
            touched |= grad[i, k] != np.float32(0)
        if touched:
            for k in range(p.shape[1]):
                g = grad[i, k] + decay * p[i, k]
                m[i, k] = np.float32(0.9) * m[i, k] + np.float32(0.1) * g
                v[i, k] = np.float32(0.99) * v[i, k] + np.float32(0.01) * g * g
                p[i, k] -= lr * (m[i, k] * c1) / (np.sqrt(v[i, k] * c2) + np.float32(1e-15))
                grad[i, k] = np.float32(0)
