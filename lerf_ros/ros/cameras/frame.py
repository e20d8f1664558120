# SPDX-License-Identifier: Apache-2.0
"""The messages of one moment of one camera."""

from dataclasses import dataclass
from typing import TypeAlias

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

Picture: TypeAlias = Image | CompressedImage


@dataclass(frozen=True)
class Frame:
    """Messages that belong together.

    Attributes:
        image: colours.
        info: of the camera that took them.
        depth: None when depth is not used.
        camera: name in `input.cameras`; empty: the only one.
        depth_info: of the camera that measured depth, the newest there is; None: none has come.
    """

    image: Picture
    info: CameraInfo
    depth: Picture | None
    camera: str = ""
    depth_info: CameraInfo | None = None


def nanoseconds(stamp: Time) -> int:
    """Return a message stamp as integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
