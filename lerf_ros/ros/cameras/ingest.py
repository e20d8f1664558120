# SPDX-License-Identifier: Apache-2.0
"""From the messages of one moment to a posed image. Runs in the encoder thread, where it may wait for a transform."""

import time
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8
from sensor_msgs.msg import CompressedImage

from lerf_ros.config import InputConfig
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.errors import InputError, StampError
from lerf_ros.ros.cameras import rvl
from lerf_ros.ros.cameras.alignment import DepthAlignment
from lerf_ros.ros.cameras.compressed import rgb_from_compressed
from lerf_ros.ros.cameras.frame import Frame, Picture, nanoseconds
from lerf_ros.ros.cameras.images import rgb_from_image
from lerf_ros.ros.cameras.models import CameraModel, Undistorter, camera_model
from lerf_ros.ros.cameras.self_filter import WAITING, SelfFilter
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.selfcheck.check import SelfCheck

__all__ = ["Frame", "Ingest", "nanoseconds", "read_colours"]


def read_colours(message: Picture, config: InputConfig) -> UInt8[np.ndarray, "H W 3"]:
    """Return the colours of an image, red first, raw or compressed.

    Raises:
        ImageError: it cannot be used.
    """
    if isinstance(message, CompressedImage):
        return rgb_from_compressed(message, config.max_pixels)
    return rgb_from_image(message, config.max_pixels)


class _Camera:
    """What is remembered of one camera from frame to frame."""

    def __init__(self, config: InputConfig, poses: CameraPoses) -> None:
        self.undistorter = Undistorter()
        self.alignment = DepthAlignment(config, poses.transforms)
        self.model: CameraModel | None = None


class Ingest:
    """Turns frames into posed images; everything wrong with a frame is an InputError with its cause.

    Args:
        config: limits and time-outs.
        poses: where camera poses come from.
        now_ns: the node's clock.
        check: told of every frame and every refusal.

    Attributes:
        robot: takes the robot out of images.
        newest: the last image of each camera, moved or not.
    """

    def __init__(self, config: InputConfig, poses: CameraPoses, now_ns: Callable[[], int], check: SelfCheck) -> None:
        self._config = config
        self._poses = poses
        self._now_ns = now_ns
        self._check = check
        if config.use_depth and config.depth_transport == "compressedDepth":
            rvl.decode(rvl.ONE_ZERO, 1)  # compiled or loaded now, not at the first image
        self._cameras: dict[str, _Camera] = {}
        self.robot = SelfFilter(config, poses.transforms)
        self.newest: Mapping[str, PosedImage] = {}

    def __call__(self, frame: Frame) -> PosedImage:
        """Return the posed image of a frame.

        Raises:
            InputError: the frame cannot be used; its cause tells why.
        """
        self._check.received(frame, self._now_ns())
        try:
            image = self._convert(frame)
        except InputError as error:
            if error.cause != WAITING:  # which is no fault
                self._check.refused(error.cause, str(error), frame.camera)
            raise
        self._check.accepted(image, frame.camera)
        self.newest = {**self.newest, image.camera: image}  # swapped whole: others read it
        return image

    def _convert(self, frame: Frame) -> PosedImage:
        until = time.monotonic() + self._config.tf_timeout_s  # of all that this frame waits for
        stamp_ns = nanoseconds(frame.image.header.stamp)
        self._check_stamp(stamp_ns)
        camera = self._cameras.setdefault(frame.camera, _Camera(self._config, self._poses))
        model = camera_model(frame.info)
        rgb = read_colours(frame.image, self._config)
        straight = camera.undistorter.apply(model, rgb, None)
        T_world_cam = self._poses.wait(frame.image.header.frame_id, stamp_ns, frame.camera, until)
        image = PosedImage(
            stamp_ns=stamp_ns,
            rgb=straight.rgb,
            depth_m=camera.alignment.depth(frame, model, until),
            intrinsics=model.intrinsics,
            T_world_cam=T_world_cam,
            camera=frame.image.header.frame_id,
            mask=straight.mask,
        )
        self._compare(camera, model, frame.camera)
        return self.robot.apply(image, model, frame.camera, until)

    def _compare(self, camera: _Camera, model: CameraModel, name: str) -> None:
        """Tell of a camera that is no longer what it was: keyframes so far keep the intrinsics that they came with."""
        old, camera.model = camera.model, model
        if old is None or old == model:
            return
        self._check.warn(
            "camera_info_changed",
            f"the camera info of {name or 'the camera'} has changed from {_short(old)} to {_short(model)}: new images "
            "are taken with the new one; if nobody meant it to, two drivers may be publishing on one topic",
        )

    def _check_stamp(self, stamp_ns: int) -> None:
        ahead_s = (stamp_ns - self._now_ns()) / 1e9
        if ahead_s > self._config.max_future_s:
            raise StampError(
                "stamp_in_future",
                f"image stamp is {ahead_s:.3f} s ahead of the node's clock (input.max_future_s = "
                f"{self._config.max_future_s}): are the machines' clocks synchronised, or is use_sim_time missing?",
            )
        if self._config.max_age_s and -ahead_s > self._config.max_age_s:
            raise StampError(
                "stamp_too_old",
                f"image stamp is {-ahead_s:.3f} s behind the node's clock (input.max_age_s = {self._config.max_age_s}; "
                "0 takes any age): is this a recording played without use_sim_time?",
            )


def _short(model: CameraModel) -> str:
    i = model.intrinsics
    return f"{i.width} x {i.height}, f {i.fx:.1f} {i.fy:.1f}, c {i.cx:.1f} {i.cy:.1f}, D {list(model.distortion)}"
