# SPDX-License-Identifier: Apache-2.0
"""A keyframe as tensors and back, losslessly: colour and depth as PNG, the mask as bits, embeddings as they are."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import UInt8, UInt16

from lerf_ros.core.geometry import Intrinsics, check_transform
from lerf_ros.core.keyframes import KeptImage, Keyframe
from lerf_ros.core.packed import BitMask, CompactDepth
from lerf_ros.core.pyramid import FeaturePyramid
from lerf_ros.errors import InputError, MapFileError

_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]
_GRID: dict[str, tuple[type, int]] = {
    "tile_px": (np.int32, 1), "nx": (np.int32, 1), "ny": (np.int32, 1), "offset": (np.int32, 1),
    "first_px": (np.float64, 2), "span_px": (np.float64, 2), "features": (np.float16, 2),
}  # fmt: skip
"""Arrays of a pyramid: their type and how many dimensions."""


@dataclass(frozen=True)
class SlottedKeyframe:
    """A keyframe with its embeddings, and its row of the learned corrections."""

    keyframe: Keyframe
    slot: int


def to_tensors(kept: SlottedKeyframe) -> dict[str, torch.Tensor]:
    """Return all of a keyframe but its id."""
    image, pyramid, patches = kept.keyframe.image, kept.keyframe.pyramid, kept.keyframe.patches
    k = image.intrinsics
    arrays: dict[str, np.ndarray] = {
        "stamp_ns": np.array([image.stamp_ns], np.int64),
        "slot": np.array([kept.slot], np.int64),
        "camera": np.frombuffer(image.camera.encode("utf-8") or b"\0", np.uint8),
        "intrinsics": np.array([k.fx, k.fy, k.cx, k.cy, k.width, k.height], np.float64),
        "T_world_cam": image.T_world_cam,
        "rgb_png": _png(np.ascontiguousarray(image.rgb[..., ::-1])),
    }
    if image.depth is not None:
        arrays |= {"depth_png": _png(image.depth.codes), "depth_unit_m": np.array([image.depth.unit_m], np.float64)}
    if image.bits is not None:
        arrays["mask_bits"] = image.bits.bits
    if pyramid is not None:
        arrays |= {f"pyramid.{name}": getattr(pyramid, name) for name in _GRID}
    if patches is not None:
        arrays["patches"] = patches
    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}


def from_tensors(tensors: Mapping[str, torch.Tensor], keyframe_id: int, where: str) -> SlottedKeyframe:
    """Return the keyframe of some tensors, with an id of its own.

    Raises:
        MapFileError: they are none; `where` says of what file.
    """
    try:
        arrays = {name: value.numpy() for name, value in tensors.items()}
        fx, fy, cx, cy, width, height = (float(v) for v in arrays["intrinsics"])
        camera = Intrinsics(int(width), int(height), fx, fy, cx, cy)
        shape = (camera.height, camera.width)
        depth = None
        if "depth_png" in arrays:
            depth = CompactDepth(_pixels(arrays["depth_png"], shape, np.uint16), _unit_m(arrays["depth_unit_m"]))
        bits = BitMask(_mask_bits(arrays["mask_bits"], shape), *shape) if "mask_bits" in arrays else None
        rgb = np.ascontiguousarray(_pixels(arrays["rgb_png"], (*shape, 3), np.uint8)[..., ::-1])
        name, pose = bytes(arrays["camera"]).decode("utf-8").strip("\0"), arrays["T_world_cam"]
        check_transform(pose)  # and left as it is, to the bit
        image = KeptImage(int(arrays["stamp_ns"][0]), rgb, depth, camera, pose, name, bits)
        pyramid = _pyramid(arrays, camera) if "pyramid.features" in arrays else None
        patches = _typed(arrays["patches"], np.float16, 3) if "patches" in arrays else None
        return SlottedKeyframe(Keyframe(keyframe_id, image, pyramid, patches), int(arrays["slot"][0]))
    except (InputError, KeyError, IndexError, TypeError, ValueError, OverflowError, RuntimeError, cv2.error) as error:
        raise MapFileError(f"{where} is damaged: it is no keyframe: {error!r}") from error


def _typed(array: np.ndarray, kind: type, dimensions: int) -> np.ndarray:
    if array.dtype != kind or array.ndim != dimensions:
        raise ValueError(f"an array of {array.ndim} dimensions of {array.dtype}, not {dimensions} of {kind.__name__}")
    return array


def _pyramid(arrays: Mapping[str, np.ndarray], camera: Intrinsics) -> FeaturePyramid:
    """Return the pyramid of a keyframe. Kernels index embeddings by its grid unchecked, so it is checked here."""
    grid = {name: _typed(arrays[f"pyramid.{name}"], *_GRID[name]) for name in _GRID}
    features, nx, ny = grid["features"], grid["nx"], grid["ny"]
    shapes = {name: (len(nx),) if dimensions == 1 else (len(nx), 2) for name, (_, dimensions) in _GRID.items()}
    if not len(nx) or any(grid[name].shape != shapes[name] for name in _GRID if name != "features"):
        raise ValueError("the pyramid's levels are not as many everywhere")
    tiles = nx.astype(np.int64) * ny
    if min(nx.min(), ny.min(), grid["tile_px"].min()) < 1 or (grid["offset"] != np.cumsum(tiles) - tiles).any():
        raise ValueError("the pyramid's tiles are no lattice of rows")
    if not np.isfinite(grid["first_px"]).all() or not ((grid["span_px"] > 0) & (grid["span_px"] < np.inf)).all():
        raise ValueError("the pyramid's tiles are nowhere")
    if len(features) not in (0, tiles.sum()) or not np.isfinite(features).all():
        raise ValueError(f"{len(features)} embeddings for {tiles.sum()} tiles, or not finite ones")
    return FeaturePyramid(camera.width, camera.height, **grid)


def _mask_bits(bits: np.ndarray, shape: tuple[int, int]) -> UInt8[np.ndarray, " N"]:
    if len(_typed(bits, np.uint8, 1)) != -(-shape[0] * shape[1] // 8):
        raise ValueError("the mask is of another size")
    return bits


def _unit_m(stored: np.ndarray) -> float:
    if not 0 < (unit_m := float(stored[0])) < np.inf:
        raise ValueError(f"a depth unit of {unit_m} m")
    return unit_m


def _png(pixels: np.ndarray) -> UInt8[np.ndarray, " B"]:
    _, data = cv2.imencode(".png", pixels, _FAST)
    return np.asarray(data).ravel()


def _pixels(
    png: np.ndarray, shape: tuple[int, ...], kind: type
) -> UInt8[np.ndarray, "H W 3"] | UInt16[np.ndarray, "H W"]:
    pixels = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != shape or pixels.dtype != kind:
        raise ValueError("an image cannot be read, or is of another size")
    return np.asarray(pixels)
