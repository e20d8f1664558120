# SPDX-License-Identifier: Apache-2.0
"""Parameters: how phrases are answered, and what grips."""

from dataclasses import dataclass

from lerf_ros.options import option


@dataclass(frozen=True)
class QueryConfig:
    """How phrases are answered."""

    rule: str = option(
        "objects",
        "What a phrase is matched with: whole 'objects', or the hottest point ('peak', as LERF does)",
        choices=("objects", "peak"),
        when="any time",
    )
    scales: int = option(5, "Physical scales cached a surface point", ge=1, le=30)
    scale_spacing: str = option("geometric", "Spacing of the scales", choices=("geometric", "linear"))
    min_scale_m: float = option(0.05, "Smallest scale, metres", ge=0.0, le=10.0)
    max_scale_m: float = option(0.35, "Largest scale, metres", ge=0.01, le=100.0)
    top_fraction: float = option(
        0.002, "Share of points whose mean chooses one scale for a whole view (not one hottest point)", ge=1e-5, le=1.0,
        when="any time",
    )
    min_keyframes: int = option(6, "Before this many keyframes the answer is NOT_READY", ge=1, le=1000, when="any time")
    min_steps: int = option(
        120, "Before this many training steps the answer is NOT_READY", ge=1, le=1_000_000, when="any time"
    )
    found_probability: float = option(0.5, "FOUND from this probability on", ge=0.0, le=1.0, when="any time")
    ambiguous_ratio: float = option(
        0.7, "A second thing with this share of the best one's relevancy above 0.5 makes it AMBIGUOUS", ge=0.0, le=1.0,
        when="any time",
    )
    stale_after_s: float = option(
        0.0, "STALE when the newest keyframe is older; 0 = never", ge=0.0, le=1e9, when="any time"
    )
    max_prompts: int = option(64, "Most phrases a request", ge=1, le=10_000, when="any time")
    max_phrase_bytes: int = option(1024, "Longest phrase, bytes of UTF-8", ge=1, le=1_000_000, when="any time")
    max_points: int = option(
        20_000, "Most cloud points a phrase when the request leaves it at 0", ge=1, le=5_000_000, when="any time"
    )


@dataclass(frozen=True)
class GraspConfig:
    """The parallel gripper and how it may approach."""

    max_opening_m: float = option(0.08, "Largest distance between the fingers", ge=0.005, le=0.5, when="any time")
    finger_depth_m: float = option(0.04, "How far the fingers reach over the object, along the approach",
                                   ge=0.005, le=0.3, when="any time")
    finger_width_m: float = option(0.024, "Finger width across the closing axis", ge=0.002, le=0.1, when="any time")
    finger_thickness_m: float = option(
        0.012, "Finger thickness along the closing axis", ge=0.001, le=0.1, when="any time"
    )
    tip_beyond_tcp_m: float = option(
        0.015, "How far the fingertips reach beyond the tcp", ge=0.0, le=0.2, when="any time"
    )
    clearance_m: float = option(0.004, "Fingertips stay this far above the support", ge=0.0, le=0.1, when="any time")
    margin_m: float = option(0.012, "Opening beyond the object's width", ge=0.0, le=0.1, when="any time")


@dataclass(frozen=True)
class ViewsConfig:
    """Where the camera may be sent by ~/next_views."""

    min_distance_m: float = option(0.3, "Nearest distance from which the camera is to look at something", ge=0.05,
                                   le=100.0, when="any time")
    max_distance_m: float = option(0.6, "Farthest distance", ge=0.06, le=100.0, when="any time")
    reach_m: float = option(0.0, "Farthest the camera may be from the origin of the world frame, its base; 0 = any",
                            ge=0.0, le=1e3, when="any time")
