# SPDX-License-Identifier: Apache-2.0
"""The few pixels of a frame that the self-check looks at and remembers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from lerf_ros.core.geometry import Intrinsics, invert, rotation_angle
from lerf_ros.core.keyframes import PosedImage

COLUMNS = 40


@dataclass(frozen=True)
class SmallFrame:
    """Every n-th pixel of a posed image: no averages, so that equal ones come from equal images.

    Attributes:
        step: n.
        rgb: colours.
        depth_m: z-depth, 0 where not measured; None: no depth sensor.
        intrinsics: of the whole image.
        stamp_ns, T_world_cam, camera: as of `PosedImage`.
    """

    step: int
    rgb: UInt8[np.ndarray, "h w 3"]
    depth_m: Float32[np.ndarray, "h w"] | None
    intrinsics: Intrinsics
    stamp_ns: int
    T_world_cam: Float64[np.ndarray, "4 4"]
    camera: str

    @staticmethod
    def of(image: PosedImage) -> "SmallFrame":
        """Return copies of every n-th pixel, about `COLUMNS` a row."""
        step = max(1, image.intrinsics.width // COLUMNS)
        half = step // 2
        depth_m = None if image.depth_m is None else image.depth_m[half::step, half::step].copy()
        return SmallFrame(step, image.rgb[half::step, half::step].copy(), depth_m, image.intrinsics, image.stamp_ns,
                          image.T_world_cam, image.camera)  # fmt: skip

    def motion_to(self, other: "SmallFrame") -> tuple[float, float, float]:
        """Return how far the camera has moved, how far of that along its line of sight (metres), and turned (rad)."""
        T = invert(self.T_world_cam) @ other.T_world_cam
        return float(np.linalg.norm(T[:3, 3])), abs(float(T[2, 3])), rotation_angle(T[:3, :3])
