# SPDX-License-Identifier: Apache-2.0
"""`~/render`: what a camera would see, by what the newest snapshot has learned. Never raises."""

import sys
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Float64
from sensor_msgs.msg import Image

from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.geometry import pose_matrix
from lerf_ros.core.sightseeing import Sightseer, pinhole
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import PoseError, RequestError
from lerf_ros.ros.cameras.images import image_from_rgb
from lerf_ros.ros.poses.source import PoseSource
from lerf_ros.ros.services.commands import told_in
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import Render

DEFAULT_FOV_RAD = 0.9


class RenderService:
    """Renders from the snapshot's frozen weights: training goes on.

    Args:
        settings: the configuration in force.
        encoder: the one the map is trained with.
        snapshot: returns the newest snapshot, None before the first.
        transforms: for poses in other frames.
    """

    def __init__(
        self,
        settings: Settings,
        encoder: ImageTextEncoder,
        snapshot: Callable[[], FieldSnapshot | None],
        transforms: PoseSource,
    ) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._transforms = transforms
        self._sightseer = Sightseer(encoder)

    def __call__(self, request: Render.Request, response: Render.Response) -> Render.Response:
        """Fill the response; whatever goes wrong is its message."""
        with told_in(response, "rendering"):
            self._render(request, response)
        return response

    def _render(self, request: Render.Request, response: Render.Response) -> None:
        config, snapshot = self._settings.now, self._snapshot()
        fov_rad = request.vertical_fov_rad or DEFAULT_FOV_RAD
        camera = pinhole(request.width, request.height, fov_rad, config.outputs.max_render_pixels)
        T_world_cam = self._pose(request, config.input.world_frame)
        if snapshot is None:
            raise RequestError("there is no map yet: no keyframe has been trained on")
        seen = self._sightseer.look(snapshot, config, camera, T_world_cam, request.prompt)
        frame, stamp_ns = snapshot.frame_id, snapshot.stamp_ns
        response.color = image_from_rgb(seen.rgb, frame, stamp_ns)
        response.depth = _floats(seen.depth_m, frame, stamp_ns)
        response.relevancy = Image() if seen.relevancy is None else _floats(seen.relevancy, frame, stamp_ns)
        response.training_step = snapshot.step
        response.success = True

    def _pose(self, request: Render.Request, world: str) -> Float64[np.ndarray, "4 4"]:
        p, q = request.pose.pose.position, request.pose.pose.orientation
        T_frame_cam = pose_matrix(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))
        frame = request.pose.header.frame_id
        if not frame or frame == world:
            return T_frame_cam
        try:
            return np.asarray(self._transforms.lookup(world, frame, None) @ T_frame_cam)
        except PoseError as error:
            raise PoseError(error.cause, f"frame {frame!r} of the pose cannot be reached: {error}") from error


def _floats(values: Float32[np.ndarray, "H W"], frame: str, stamp_ns: int) -> Image:
    """Return an image of encoding 32FC1."""
    height, width = values.shape
    image = Image(height=height, width=width, encoding="32FC1", step=4 * width, is_bigendian=sys.byteorder == "big")
    image.header.frame_id = frame
    image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    image.data = values.tobytes()
    return image
