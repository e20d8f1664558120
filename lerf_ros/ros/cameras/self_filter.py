# SPDX-License-Identifier: Apache-2.0
"""Keeps the robot itself out of the map: its pixels leave every image, or the image is not used at all.

Works in the encoder thread, where it may wait for transforms and masks; `RobotInputs` only stores messages.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float64

from lerf_ros.config import InputConfig
from lerf_ros.core.collision_shapes import CollisionShapes, read_shapes
from lerf_ros.core.geometry import invert
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.robot_mask import robot_mask
from lerf_ros.errors import InputError, PoseError, RobotDescriptionError
from lerf_ros.ros.cameras.mask_topics import Arrivals, MaskTopics
from lerf_ros.ros.cameras.models import CameraModel

DESCRIPTION = "robot_description"
DISCOVERY_S = 2.0
"""How long after activation it may take until who publishes a description or masks is known."""

WAITING = "self_filter_waiting"

_log = logging.getLogger(__name__)


class Transforms(Protocol):
    """What is asked of the transform buffer."""

    def wait(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> Float64[np.ndarray, "4 4"]:
        """Return `T_target_source`; raises PoseError."""


class SelfFilter:
    """Takes the robot out of posed images.

    Args:
        config: what tells where the robot is, and how long to wait for it.
        transforms: of the robot's links.
        find_package: where a package's meshes lie.

    Attributes:
        descriptions: the newest text of the topic robot_description.
        masks: what came on mask topics.
        offered: whether anyone publishes a topic; asked where `input.self_filter` is auto.
    """

    def __init__(
        self, config: InputConfig, transforms: Transforms, find_package: Callable[[str], Path] | None = None
    ) -> None:
        self._config = config
        self._transforms = transforms
        self._find_package = find_package or shared_folder
        self.descriptions: Arrivals[str] = Arrivals(1)
        self.masks = MaskTopics()
        self.offered: Callable[[str], bool] = lambda topic: False
        self._read: tuple[str, CollisionShapes | RobotDescriptionError] | None = None
        self._housings: set[str] = set()
        self._found_until = 0.0

    def begin(self) -> None:
        """From now on others are looked for: for `DISCOVERY_S` it is not taken that there is no robot to be seen."""
        self._found_until = time.monotonic() + DISCOVERY_S

    def apply(
        self, image: PosedImage, model: CameraModel, camera: str = "", until: float | None = None
    ) -> PosedImage:
        """Return the image without the robot: masked out, and without depth there.

        Args:
            image: undistorted.
            model: of the image as it came, and of masks.
            camera: its name in `input.cameras`; empty: the only one.
            until: when to wait no longer (monotonic, seconds); None: `input.tf_timeout_s` from now.

        Raises:
            InputError: cause ``self_filter_waiting`` (nothing to go by is known yet), ``self_filter_no_urdf``,
                ``self_filter_urdf`` (cannot be used), ``self_filter_tf``, ``self_filter_no_mask``,
                ``self_filter_mask`` (cannot be used) or ``self_filter_covered``.
        """
        robot: Bool[np.ndarray, "H W"] | None = None
        if until is None:
            until = time.monotonic() + self._config.tf_timeout_s
        masked, drawn_too = self._uses("mask", self.masks.topic(camera)), self._uses("urdf", DESCRIPTION)
        if not (masked or drawn_too) and self._config.self_filter == "auto" and time.monotonic() < self._found_until:
            raise InputError(
                WAITING,
                f"for {DISCOVERY_S:g} s after activation it is waited for who tells where the robot is; set "
                "input.self_filter to none if no camera sees one",
            )
        if masked:
            robot = self.masks.robot(image, model, camera, self._config, until)
        if drawn_too:
            drawn = self._drawn(image, until)
            robot = drawn if robot is None else robot | drawn
        if robot is None or not robot.any():
            return image
        share = float(robot.mean())
        if share > self._config.self_filter_max_share:
            raise InputError(
                "self_filter_covered",
                f"the robot covers {share:.0%} of the image (input.self_filter_max_share = "
                f"{self._config.self_filter_max_share}): if it does not, a collision shape around the camera is too "
                "large: name its link in input.self_filter_skip",
            )
        mask = ~robot if image.mask is None else image.mask & ~robot
        depth_m = None if image.depth_m is None else np.where(robot, np.float32(0), image.depth_m)
        return dataclasses.replace(image, mask=mask, depth_m=depth_m)

    def _uses(self, source: str, topic: str) -> bool:
        chosen = self._config.self_filter
        if chosen != "auto":
            return chosen == source
        if source == "urdf" and (self._config.self_filter_urdf or self.descriptions.newest() is not None):
            return True
        return self.offered(topic)

    def _drawn(self, image: PosedImage, until: float) -> Bool[np.ndarray, "H W"]:
        """Return the robot's outline; `until` is when to wait no longer (monotonic, seconds)."""
        robot = self._shapes(until)
        T_cam_world = invert(image.T_world_cam)
        T_world_link: dict[str, Float64[np.ndarray, "4 4"]] = {}
        for shape in robot.shapes:
            self._place(shape.link, robot, image.stamp_ns, until, T_world_link)
        placed = [(s.hull, T_cam_world @ T_world_link[s.link] @ s.T_link_shape) for s in robot.shapes]
        seen = robot_mask(placed, image.intrinsics, self._config.self_filter_padding_m)
        for index in seen.around_camera:
            self._tell_housing(robot.shapes[index].link, image.camera)
        return seen.robot

    def _shapes(self, until: float) -> CollisionShapes:
        """Return the shapes of the newest description, read anew when it has changed."""
        text = self._description(until)
        if self._read is None or self._read[0] != text:
            try:
                self._read = text, read_shapes(text, self._find_package, self._config.self_filter_skip)
                _log.info("the robot's %d collision shapes are kept out of the map", len(self._read[1].shapes))
            except RobotDescriptionError as error:
                self._read = text, error
        found = self._read[1]
        if isinstance(found, RobotDescriptionError):
            raise InputError(
                "self_filter_urdf",
                f"{found}; mend it, name the link in input.self_filter_skip, or set input.self_filter to mask or none",
            )
        return found

    def _description(self, until: float) -> str:
        file = self._config.self_filter_urdf
        if file:
            if self._read is not None:
                return self._read[0]
            try:
                return Path(file).expanduser().read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise InputError("self_filter_urdf", f"input.self_filter_urdf cannot be read: {error}") from error
        text = self.descriptions.wait(lambda _: True, until)
        if text is None:
            raise InputError(
                "self_filter_no_urdf",
                f"no robot description has come on {DESCRIPTION!r}: remap it to robot_state_publisher's, name a file "
                "in input.self_filter_urdf, or set input.self_filter to mask or none",
            )
        return text

    def _place(
        self, link: str, robot: CollisionShapes, stamp_ns: int, until: float,
        T_world_link: dict[str, Float64[np.ndarray, "4 4"]],
    ) -> None:  # fmt: skip
        """Look a link up in the one above it, whose place is known then: short chains are cheap."""
        if link in T_world_link:
            return
        parent = robot.parents[link]
        if parent is not None:
            self._place(parent, robot, stamp_ns, until, T_world_link)
        frame = self._config.world_frame if parent is None else parent
        try:
            T = self._transforms.wait(frame, link, stamp_ns, max(until - time.monotonic(), 0.0))
        except PoseError as error:
            raise PoseError(
                "self_filter_tf",
                f"where link {link!r} of the robot was is not known, so it cannot be kept out of the image: {error}; "
                "does robot_state_publisher get all joint states? (input.self_filter_skip leaves a link out)",
            ) from error
        T_world_link[link] = T if parent is None else T_world_link[parent] @ T

    def _tell_housing(self, link: str, camera: str) -> None:
        if link not in self._housings:
            self._housings.add(link)
            _log.info("camera %r lies within a collision shape of link %r: taken for its housing", camera, link)


def shared_folder(package: str) -> Path:
    """Return the folder that a ROS package shares its files in.

    Raises:
        LookupError: it is not installed in any prefix of AMENT_PREFIX_PATH.
    """
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        folder = Path(prefix) / "share" / package
        if folder.is_dir():
            return folder
    raise LookupError(f"package {package!r} is not installed in any prefix of AMENT_PREFIX_PATH")
