# SPDX-License-Identifier: Apache-2.0
"""Depth brought into the colour image: as it is where the driver has registered it, re-projected where it has not."""

import time

import numpy as np
from jaxtyping import Float32, Float64
from sensor_msgs.msg import CompressedImage

from lerf_ros.config import InputConfig
from lerf_ros.core.registration import register_depth
from lerf_ros.errors import DepthError
from lerf_ros.ros.cameras.compressed import depth_from_compressed
from lerf_ros.ros.cameras.frame import Frame, Picture, nanoseconds
from lerf_ros.ros.cameras.images import depth_from_image
from lerf_ros.ros.cameras.models import CameraModel, Undistorter, camera_model
from lerf_ros.ros.poses.source import PoseSource


def read_depth(message: Picture, config: InputConfig) -> Float32[np.ndarray, "H W"]:
    """Return z-depth in metres, 0 where not measured, raw or compressed.

    Raises:
        DepthError: it cannot be used.
    """
    limits = (config.max_pixels, config.depth_min_m, config.depth_max_m)
    if isinstance(message, CompressedImage):
        return depth_from_compressed(message, *limits)
    return depth_from_image(message, *limits)


class DepthAlignment:
    """Depth of one camera, as that camera's undistorted colour image has it. One thread.

    Args:
        config: limits; `input.depth_registration`.
        transforms: from the depth camera to the colour camera.
    """

    def __init__(self, config: InputConfig, transforms: PoseSource) -> None:
        self._config = config
        self._transforms = transforms
        self._registered = Undistorter()
        self._separate = Undistorter()

    def depth(
        self, frame: Frame, model: CameraModel, until: float
    ) -> Float32[np.ndarray, "H W"] | None:
        """Return the frame's depth (m, 0 where not measured); None: it has none.

        Args:
            frame: the messages.
            model: of the colour camera.
            until: when to wait for a transform no longer (monotonic, seconds).

        Raises:
            DepthError: cause as of `read_depth`, ``depth_size``, ``depth_camera_info`` (it is in another frame, and no
                camera info of it has come) or ``depth_outside`` (nothing of it falls into the image).
            IntrinsicsError: the depth camera's info cannot be used.
            PoseError: where the cameras are to each other is not known.
        """
        if frame.depth is None:
            return None
        raw = read_depth(frame.depth, self._config)
        color, depth = (m.header.frame_id.lstrip("/") for m in (frame.image, frame.depth))
        apart = bool(color) and depth not in ("", color)  # without a name the image is refused elsewhere
        other = model if frame.depth_info is None else camera_model(frame.depth_info)
        if self._config.depth_registration == "never" or not (apart or other != model):
            return self._registered.depth(model, raw)
        if frame.depth_info is None:
            raise DepthError(
                "depth_camera_info",
                f"depth is in frame {depth!r}, the image in {color!r}, and depth_camera_info is silent: remap it "
                "to the depth camera's, or, if depth is registered to colour, set input.depth_registration: never",
            )
        straight = self._separate.depth(other, raw)
        T_color_depth = self._between(color, depth, frame, until) if apart else np.eye(4)
        out = register_depth(straight, other.intrinsics, T_color_depth, model.intrinsics)
        if not out.any():
            raise DepthError(
                "depth_outside",
                f"no depth in frame {depth!r} falls into the image in {color!r}: is the transform right?",
            )
        return out

    def _between(self, color: str, depth: str, frame: Frame, until: float) -> Float64[np.ndarray, "4 4"]:
        stamp_ns = nanoseconds(frame.image.header.stamp)
        return self._transforms.wait(color, depth, stamp_ns, max(0.0, until - time.monotonic()))
