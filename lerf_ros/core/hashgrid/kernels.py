# SPDX-License-Identifier: Apache-2.0
"""numba kernels of the hash grid. They release the GIL; the caller splits the work over threads.

Forward is split over points and backward over levels, so no two threads write one address: no atomics, and the result
does not depend on the number of threads.
"""

from typing import Any, no_type_check

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

_jit = njit(nogil=True, fastmath=True, cache=True)
_inline = njit(nogil=True, fastmath=True, cache=True, inline="always")


@_inline
@no_type_check
def _row(ix: int, iy: int, iz: int, resolution: int, size: int, dense: bool) -> int:
    """Table row of a vertex within its level; all arguments uint32, so that products wrap as the hash wants."""
    if dense:
        return np.int64((ix + iy * resolution + iz * resolution * resolution) % size)
    return np.int64((ix ^ (iy * np.uint32(2654435761)) ^ (iz * np.uint32(805459861))) & (size - np.uint32(1)))


@_inline
@no_type_check
def _cell(x: Array, n: int, scale: float) -> tuple[int, int, int, float, float, float]:
    """Lower corner (uint32) of the cell that holds point n, and where in the cell it lies."""
    px = x[n, 0] * scale + np.float32(0.5)
    py = x[n, 1] * scale + np.float32(0.5)
    pz = x[n, 2] * scale + np.float32(0.5)
    ix, iy, iz = np.uint32(px), np.uint32(py), np.uint32(pz)
    return ix, iy, iz, px - np.float32(ix), py - np.float32(iy), pz - np.float32(iz)


@_inline
@no_type_check
def _weight(fx: float, fy: float, fz: float, c: int) -> float:
    """Trilinear weight of corner `c` of a cell."""
    return (fx if c & 1 else 1 - fx) * (fy if c & 2 else 1 - fy) * (fz if c & 4 else 1 - fz)


@_jit
@no_type_check
def encode(x: Array, table: Array, scale: Array, resolution: Array, offset: Array, size: Array, out: Array) -> None:
    """Write trilinear features of unit-cube points `x` [N, 3] into `out` [N, L*F].

    Levels are the outer loop: one level's table stays in the cache while all points pass.
    """
    for level in range(scale.shape[0]):
        for k in range(0, table.shape[1], 2):
            first = level * table.shape[1] + k
            _encode_pair(x, table, scale[level], resolution[level], offset[level], size[level], k, first, out)


@_jit
@no_type_check
def _encode_pair(
    x: Array, table: Array, scale: float, resolution: int, offset: int, size: int, k: int, first: int, out: Array
) -> None:
    """Features k and k + 1 of one level, into columns `first` and `first + 1`: a pair stays in registers."""
    r, m = np.uint32(resolution), np.uint32(size)
    dense = resolution**3 <= size
    for n in range(x.shape[0]):
        ix, iy, iz, fx, fy, fz = _cell(x, n, scale)
        a = np.float32(0)
        b = np.float32(0)
        for c in range(8):
            cx, cy, cz = np.uint32(c & 1), np.uint32((c >> 1) & 1), np.uint32(c >> 2)
            row = offset + _row(ix + cx, iy + cy, iz + cz, r, m, dense)
            w = _weight(fx, fy, fz, c)
            a += w * table[row, k]
            b += w * table[row, k + 1]
        out[n, first] = a
        out[n, first + 1] = b


@_jit
@no_type_check
def scatter(
    x: Array, grad_out: Array, scale: Array, resolution: Array, offset: Array, size: Array, levels: Array, grad: Array
) -> None:
    """Add the gradient `grad_out` [N, L*F] of an encoding to `grad` [rows, F], for the given `levels` only."""
    for level in levels:
        for k in range(0, grad.shape[1], 2):
            first = level * grad.shape[1] + k
            _scatter_pair(x, grad_out, scale[level], resolution[level], offset[level], size[level], k, first, grad)


@_jit
@no_type_check
def _scatter_pair(
    x: Array, grad_out: Array, scale: float, resolution: int, offset: int, size: int, k: int, first: int, grad: Array
) -> None:
    """The transpose of `_encode_pair`."""
    r, m = np.uint32(resolution), np.uint32(size)
    dense = resolution**3 <= size
    for n in range(x.shape[0]):
        ix, iy, iz, fx, fy, fz = _cell(x, n, scale)
        a = grad_out[n, first]
        b = grad_out[n, first + 1]
        for c in range(8):
            cx, cy, cz = np.uint32(c & 1), np.uint32((c >> 1) & 1), np.uint32(c >> 2)
            row = offset + _row(ix + cx, iy + cy, iz + cz, r, m, dense)
            w = _weight(fx, fy, fz, c)
            grad[row, k] += w * a
            grad[row, k + 1] += w * b


@_jit
@no_type_check
def differentiate(
    x: Array, table: Array, grad_out: Array, scale: Array, resolution: Array, offset: Array, size: Array, grad_x: Array
) -> None:
    """Add the gradient of an encoding with respect to its points to `grad_x` [N, 3]."""
    for level in range(scale.shape[0]):
        for k in range(0, table.shape[1], 2):
            first = level * table.shape[1] + k
            _differentiate_pair(
                x, table, grad_out, scale[level], resolution[level], offset[level], size[level], k, first, grad_x
            )


@_jit
@no_type_check
def _differentiate_pair(
    x: Array, table: Array, grad_out: Array, scale: float, resolution: int, offset: int, size: int, k: int, first: int,
    grad_x: Array,
) -> None:  # fmt: skip
    r, m = np.uint32(resolution), np.uint32(size)
    dense = resolution**3 <= size
    for n in range(x.shape[0]):
        ix, iy, iz, fx, fy, fz = _cell(x, n, scale)
        dx = np.float32(0)
        dy = np.float32(0)
        dz = np.float32(0)
        for c in range(8):
            cx, cy, cz = np.uint32(c & 1), np.uint32((c >> 1) & 1), np.uint32(c >> 2)
            row = offset + _row(ix + cx, iy + cy, iz + cz, r, m, dense)
            g = table[row, k] * grad_out[n, first] + table[row, k + 1] * grad_out[n, first + 1]
            wx = fx if cx else 1 - fx
            wy = fy if cy else 1 - fy
            wz = fz if cz else 1 - fz
            dx += g * wy * wz if cx else -g * wy * wz
            dy += g * wx * wz if cy else -g * wx * wz
            dz += g * wx * wy if cz else -g * wx * wy
        grad_x[n, 0] += dx * scale
        grad_x[n, 1] += dy * scale
        grad_x[n, 2] += dz * scale


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
