# SPDX-License-Identifier: Apache-2.0
"""Bundles of rays and of samples on them. Distances `t` are along unit directions, in metres."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64

from lerf_ros.core.geometry import Intrinsics


@dataclass(frozen=True)
class RayBundle:
    """Rays in the world frame.

    Attributes:
        origins, directions: metres; unit vectors.
        z_per_t: cosine to the optical axis: z-depth = t * z_per_t.
    """

    origins: Float32[np.ndarray, "B 3"]
    directions: Float32[np.ndarray, "B 3"]
    z_per_t: Float32[np.ndarray, " B"]

    def points(self, t: Float32[np.ndarray, "B S"]) -> Float32[np.ndarray, "B S 3"]:
        """Return the world points at distances `t`."""
        return np.asarray(self.origins[:, None] + self.directions[:, None] * t[..., None], np.float32)

    def __getitem__(self, part: slice) -> "RayBundle":
        return RayBundle(self.origins[part], self.directions[part], self.z_per_t[part])

    def __len__(self) -> int:
        return len(self.origins)


def rays_along(local: Float[np.ndarray, "B 3"], T_world_cam: Float64[np.ndarray, "B 4 4"]) -> RayBundle:
    """Return the rays along camera-frame directions with z = 1, each of a camera of its own."""
    norm = np.linalg.norm(local, axis=-1)
    rotated = np.einsum("bij,bj->bi", T_world_cam[:, :3, :3], local / norm[:, None])
    origins = np.ascontiguousarray(T_world_cam[:, :3, 3].astype(np.float32))
    return RayBundle(origins, rotated.astype(np.float32), (1 / norm).astype(np.float32))


def image_rays(intrinsics: Intrinsics, T_world_cam: Float64[np.ndarray, "4 4"]) -> RayBundle:
    """Return the rays of all pixels, row by row."""
    v, u = np.mgrid[0 : intrinsics.height, 0 : intrinsics.width].astype(np.float64)
    local = intrinsics.unproject(u.ravel(), v.ravel())
    norm = np.linalg.norm(local, axis=-1)
    rotated = (local / norm[:, None]) @ T_world_cam[:3, :3].T
    origins = np.broadcast_to(T_world_cam[:3, 3].astype(np.float32), rotated.shape)
    return RayBundle(np.ascontiguousarray(origins), rotated.astype(np.float32), (1 / norm).astype(np.float32))
