# SPDX-License-Identifier: Apache-2.0
"""Parameters: what arrives, in which box it is mapped, and which frames are kept."""

import re
from dataclasses import dataclass

from lerf_ros.errors import ConfigError
from lerf_ros.options import option

CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class InputConfig:
    """What arrives, and what is refused (counted by cause) before it reaches the map."""

    world_frame: str = option("base_link", "Frame of the map, of all poses and answers (REP 105; an arm's base)")
    pose_source: str = option(
        "tf",
        "Camera pose: 'tf' at the image stamp; the 'pose' topic (of the camera); the 'odometry' topic (of a body that "
        "transforms lead from to the camera)",
        choices=("tf", "pose", "odometry"),
    )
    cameras: tuple[str, ...] = option(
        (),
        "Names of the cameras: each is subscribed to on <name>/image, <name>/camera_info, <name>/depth. Empty: one "
        "camera on image, camera_info, depth",
    )
    image_transport: str = option(
        "raw",
        "'raw': sensor_msgs/Image on image; 'compressed': JPEG or PNG on image/compressed, as image_transport names it",
        choices=("raw", "compressed"),
    )
    depth_transport: str = option(
        "raw",
        "'raw': sensor_msgs/Image on depth; 'compressedDepth': PNG or RVL on depth/compressedDepth",
        choices=("raw", "compressedDepth"),
    )
    depth_registration: str = option(
        "auto",
        "Depth that comes in another frame, or with another camera on depth_camera_info, than the image's: 'auto': "
        "is re-projected into the image; 'never': is taken as registered to it",
        choices=("auto", "never"),
    )
    use_depth: bool = option(True, "Subscribe to depth; without it the field learns geometry from colour alone")
    reliability: str = option(
        "best_effort",
        "QoS of camera subscriptions; best_effort receives from both kinds of publisher",
        choices=("best_effort", "reliable"),
    )
    queue_depth: int = option(10, "QoS history depth of camera subscriptions, messages", ge=1, le=1000)
    sync_slop_s: float = option(0.02, "Largest stamp difference of image, depth, info and pose, seconds; the nearest "
                                "is taken; 0 = equal stamps only", ge=0.0, le=1.0, when="any time")
    tf_timeout_s: float = option(
        0.5, "How long a frame waits for its transform before it is dropped", ge=0.0, le=10.0, when="any time"
    )
    max_speed_mps: float = option(3.0, "A camera that moves faster than this from one frame to the next is reported, "
                                  "m/s; 0 = never", ge=0.0, le=1e3, when="any time")
    stale_after_s: float = option(3.0, "Transforms that stand still this long while images change are reported, and "
                                  "so are those that end; seconds, 0 = never", ge=0.0, le=3600.0, when="any time")
    drift_period_s: float = option(20.0, "How often keyframes' depth is compared to find cameras that are mounted "
                                   "elsewhere than said, seconds; 0 = never", ge=0.0, le=86400.0, when="any time")
    report_correction: bool = option(False, "Publish what is found on ~/camera_correction, with its uncertainty; it is "
                                     "never applied", when="any time")
    max_age_s: float = option(
        10.0, "Frames older than this (node clock) are dropped; 0 = any age", ge=0.0, le=1e9, when="any time"
    )
    max_future_s: float = option(
        0.5, "Frames stamped further ahead than this are dropped", ge=0.0, le=3600.0, when="any time"
    )
    max_pixels: int = option(
        8_294_400, "Larger images are refused, pixels (default: 4K)", ge=1, le=100_000_000, when="any time"
    )
    ignored_warnings: tuple[str, ...] = option((), "Names of warnings of the self-check that are not to be reported",
                                               when="any time")
    self_filter: str = option(
        "auto",
        "What tells the robot's pixels, which are never mapped: 'urdf' (collision shapes of robot_description, placed "
        "by transforms), 'mask' (topic mask, mono8, not 0 on the robot), 'auto' (whichever is published), 'none'",
        choices=("auto", "urdf", "mask", "none"),
    )
    self_filter_urdf: str = option("", "File with the robot's URDF; empty: the topic robot_description")
    self_filter_padding_m: float = option(
        0.02, "Collision shapes are grown by this much", ge=0.0, le=0.5, when="any time"
    )
    self_filter_skip: tuple[str, ...] = option((), "Links whose collision shapes are left out")
    self_filter_max_share: float = option(0.9, "Frames with more of the robot in them than this are dropped",
                                          ge=0.0, le=1.0, when="any time")
    depth_min_m: float = option(0.10, "Nearer depth is no measurement (and the pixel is not trained on)",
                                ge=0.0, le=10.0, when="any time")
    depth_max_m: float = option(5.0, "Farther depth is no measurement", ge=0.1, le=1000.0, when="any time")

    def __post_init__(self) -> None:
        """Check the names of cameras.

        Raises:
            ConfigError: one is no part of a topic's name, or is there twice.
        """
        for n, name in enumerate(self.cameras):
            if name in self.cameras[:n]:
                raise ConfigError(f"input.cameras names {name!r} twice: a camera needs a name and topics of its own")
            if not CAMERA_NAME.fullmatch(name) and self.cameras != ("",):
                raise ConfigError(
                    f"input.cameras: {name!r} cannot be part of a topic's name: letters, digits and _, as in 'wrist'"
                )

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The cameras there are; the only one may have no name."""
        return self.cameras or ("",)


@dataclass(frozen=True)
class WorkspaceConfig:
    """The metric box the map resolves finely; all beyond it is contracted (mip-NeRF 360) and never answered with."""

    min_m: tuple[float, ...] = option((-0.3, -0.8, -0.15), "Lower corner x, y, z in the world frame, metres",
                                      ge=-1e3, le=1e3)
    max_m: tuple[float, ...] = option((1.0, 0.8, 0.85), "Upper corner x, y, z in the world frame, metres",
                                      ge=-1e3, le=1e3)


@dataclass(frozen=True)
class KeyframeConfig:
    """Which frames become keyframes."""

    min_translation_m: float = option(0.05, "A keyframe is at least this far from the last one, or ...",
                                      ge=0.0, le=10.0, when="any time")
    min_rotation_rad: float = option(0.12, "... turned at least this much", ge=0.0, le=3.2, when="any time")
    max_count: int = option(300, "Keyframe budget; the most redundant one is evicted past it", ge=2, le=100_000)
