# SPDX-License-Identifier: Apache-2.0
"""Parameters: how the map notices that the world has changed."""

from dataclasses import dataclass

from lerf_ros.options import option


@dataclass(frozen=True)
class ChangeConfig:
    """When measured depth or colour contradicts the surface map, and what it takes to believe it."""

    detect: bool = option(True, "Compare new frames with the map; what is gone is dropped, its place relearned first. "
                                "All cameras must have depth: with one that has none no change is looked for")
    margin_m: float = option(0.010, "Depth must end this far behind a point to be seen through it, metres ...",
                             ge=0.001, le=1.0)
    margin_per_m2: float = option(0.010, "... and this much farther for each square metre of its depth (stereo noise)",
                                  ge=0.0, le=1.0)
    min_area_m2: float = option(3e-4, "Smallest connected surface that counts as changed, square metres",
                                ge=0.0, le=10.0)
    frames: int = option(2, "Frames that must agree before a point is given up", ge=1, le=100)
    check_period_s: float = option(0.5, "A camera that stands still is compared with the map this often, seconds; "
                                   "what it then sees changed becomes a keyframe", ge=0.05, le=3600.0)
