# SPDX-License-Identifier: Apache-2.0
"""What the driver of one simulated RGB-D camera publishes: raw, or compressed as image_transport names and packs it."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lerf_ros.core.geometry import Intrinsics, look_at
from lerf_ros.ros.cameras.compressed import compressed_from_depth, compressed_from_rgb
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.sim.camera import RenderedFrame

_QOS: Final = QoSProfile(depth=5, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
_NO_RETURN_M: Final = 10.0

SCENE_CAMERA_FRAME: Final = "scene_camera_color_optical_frame"
SCENE_VIEW: Final = look_at(np.array([1.1, 0.6, 0.75]), np.array([0.4, 0.0, 0.05]))
"""`T_base_cam` of the camera on a stand beside the table."""

Send = Callable[[Publisher, Any], None]


class CameraTopics:
    """Publishes frames of one camera; depth is registered to colour.

    Args:
        node: that publishes.
        name: of the camera; its topics are /<name>/color/... and /<name>/depth/...
        frame_id: of its optical frame.
        compressed: JPEG on .../compressed and PNG on .../compressedDepth instead of raw images.
        send: publishes a message.
    """

    def __init__(self, node: Node, name: str, frame_id: str, compressed: bool, send: Send) -> None:
        self._frame_id, self._compressed, self._send = frame_id, compressed, send
        image, depth = f"/{name}/color/image_raw", f"/{name}/depth/image_raw"
        kind = CompressedImage if compressed else Image
        self._info = node.create_publisher(CameraInfo, f"/{name}/color/camera_info", _QOS)
        self._image = node.create_publisher(kind, image + "/compressed" * compressed, _QOS)
        self._depth = node.create_publisher(kind, depth + "/compressedDepth" * compressed, _QOS)

    def publish(self, frame: RenderedFrame, stamp_ns: int) -> None:
        """Publishes camera info, depth (if there is any) and colours, all of one stamp."""
        k = frame.intrinsics
        pinhole = Intrinsics(k.width, k.height, k.f_px, k.f_px, k.cx_px, k.cy_px)
        self._send(self._info, info_from_intrinsics(pinhole, self._frame_id, stamp_ns))
        if frame.depth_m is not None:
            depth_m = np.where(frame.depth_m < _NO_RETURN_M, frame.depth_m, np.float32(0))
            pack = compressed_from_depth if self._compressed else image_from_depth
            self._send(self._depth, pack(depth_m, self._frame_id, stamp_ns))
        picture = compressed_from_rgb if self._compressed else image_from_rgb
        self._send(self._image, picture(frame.rgb, self._frame_id, stamp_ns))
