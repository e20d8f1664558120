# SPDX-License-Identifier: Apache-2.0
"""From the messages of one moment to a posed image. Runs in the encoder thread, where it may wait for a transform."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image

from lerf_ros.config import InputConfig
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.errors import InputError, StampError
from lerf_ros.ros.cameras.images import depth_from_image, rgb_from_image
from lerf_ros.ros.cameras.models import Undistorter, camera_model
from lerf_ros.ros.cameras.self_filter import SelfFilter
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.selfcheck import SelfCheck


@dataclass(frozen=True)
class Frame:
    """Messages that belong together; `depth` is None when depth is not used."""

    image: Image
    info: CameraInfo
    depth: Image | None


def nanoseconds(stamp: Time) -> int:
    """Return a message stamp as integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


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
        self._undistorter = Undistorter()
        self.robot = SelfFilter(config, poses.transforms)
        self.newest: Mapping[str, PosedImage] = {}

    def __call__(self, frame: Frame) -> PosedImage:
        """Return the posed image of a frame.

        Raises:
            InputError: the frame cannot be used; its cause tells why.
        """
        try:
            image = self._convert(frame)
        except InputError as error:
            self._check.refused(error.cause, str(error))
            raise
        self._check.accepted(image)
        self.newest = {**self.newest, image.camera: image}  # swapped whole: others read it
        return image

    def _convert(self, frame: Frame) -> PosedImage:
        config = self._config
        stamp_ns = nanoseconds(frame.image.header.stamp)
        self._check_stamp(stamp_ns)
        model = camera_model(frame.info)
        rgb = rgb_from_image(frame.image, config.max_pixels)
        depth_m = (
            depth_from_image(frame.depth, config.max_pixels, config.depth_min_m, config.depth_max_m)
            if frame.depth is not None
            else None
        )
        straight = self._undistorter.apply(model, rgb, depth_m)
        image = PosedImage(
            stamp_ns=stamp_ns,
            rgb=straight.rgb,
            depth_m=straight.depth_m,
            intrinsics=model.intrinsics,
            T_world_cam=self._poses.wait(frame.image.header.frame_id, stamp_ns),
            camera=frame.image.header.frame_id,
            mask=straight.mask,
        )
        return self.robot.apply(image, model)

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
