# SPDX-License-Identifier: Apache-2.0
"""Small bags of an exact scene, as a robot with a camera in its hand would record them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from analytic import Box, Sphere, render, ring
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from lerf_ros.core.geometry import Intrinsics, invert
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.poses.listeners import pose_from_matrix

FRAMES = 10
BEGIN_NS = 1_700_000_000_000_000_000
PERIOD_NS = 200_000_000
CAMERA = Intrinsics(80, 60, 70.0, 70.0, 39.5, 29.5)
FRAME = "wrist_optical_frame"
SCENE = (Sphere((0.08, 0.05, 0.05), 0.05, (200, 30, 30)), Box((-0.1, -0.06, 0.05), (0.1, 0.08, 0.1), 0.3))
T_WRIST_CAM = np.array([[0.0, -1, 0, 0.03], [1, 0, 0, -0.02], [0, 0, 1, 0.05], [0, 0, 0, 1]])
NAMES = {
    Image: "sensor_msgs/msg/Image", CameraInfo: "sensor_msgs/msg/CameraInfo", TFMessage: "tf2_msgs/msg/TFMessage",
    PoseStamped: "geometry_msgs/msg/PoseStamped", Odometry: "nav_msgs/msg/Odometry",
}  # fmt: skip

Entry = tuple[int, str, Any]  # time of arrival, topic, message


def views() -> list[PosedImage]:
    """Return what the camera truly saw, and from where."""
    return [render(SCENE, T, BEGIN_NS + n * PERIOD_NS, CAMERA) for n, T in enumerate(ring(FRAMES))]


def set_stamp(message: Any, stamp_ns: int, frame: str) -> None:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    message.header.frame_id = frame


def transform(T: np.ndarray, parent: str, child: str, stamp_ns: int) -> TransformStamped:
    message, pose = TransformStamped(child_frame_id=child), pose_from_matrix(T)
    set_stamp(message, stamp_ns, parent)
    t, p = message.transform.translation, pose.position
    t.x, t.y, t.z = p.x, p.y, p.z
    message.transform.rotation = pose.orientation
    return message


def camera_entries(prefix: str = "/camera/color") -> list[Entry]:
    """Return images, camera infos and depth, a little after they were taken."""
    entries: list[Entry] = []
    for view in views():
        at, stamp_ns = view.stamp_ns + 5_000_000, view.stamp_ns
        assert view.depth_m is not None
        entries += [
            (at, f"{prefix}/camera_info", info_from_intrinsics(view.intrinsics, FRAME, stamp_ns)),
            (at, f"{prefix}/image_raw", image_from_rgb(view.rgb, FRAME, stamp_ns)),
            (at + 1, "/camera/depth/image", image_from_depth(view.depth_m, FRAME, stamp_ns)),
        ]
    return entries


def transform_entries() -> list[Entry]:
    """Return the hand's transforms, which come after the images they are of, and the mount's, which comes last."""
    entries: list[Entry] = []
    for view in views():
        T = view.T_world_cam @ invert(T_WRIST_CAM)
        at = view.stamp_ns + 120_000_000
        entries.append((at, "/tf", TFMessage(transforms=[transform(T, "base_link", "wrist", view.stamp_ns)])))
    mount = transform(T_WRIST_CAM, "wrist", FRAME, 0)
    return [*entries, (entries[-1][0] + 10**9, "/tf_static", TFMessage(transforms=[mount]))]


def pose_entries() -> list[Entry]:
    """Return the camera's poses as a topic."""
    entries: list[Entry] = []
    for view in views():
        message = PoseStamped(pose=pose_from_matrix(view.T_world_cam))
        set_stamp(message, view.stamp_ns, "base_link")
        entries.append((view.stamp_ns + 1, "/tracker/pose", message))
    return entries


def odometry_entries() -> list[Entry]:
    """Return the wrist's poses as odometry, and the mount."""
    entries: list[Entry] = []
    for view in views():
        message = Odometry(child_frame_id="wrist")
        message.pose.pose = pose_from_matrix(view.T_world_cam @ invert(T_WRIST_CAM))
        set_stamp(message, view.stamp_ns, "base_link")
        entries.append((view.stamp_ns + 1, "/odom", message))
    return [*entries, transform_entries()[-1]]


def write_bag(
    folder: Path, entries: Iterable[Entry], storage: str = "mcap", silent: Mapping[str, str] | None = None
) -> Path:
    """Write a bag of version 9, with topics (of these types) that have no messages as well; return its folder."""
    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    with Writer(folder, version=9, storage_plugin=plugin) as writer:
        connections: dict[str, Any] = {}
        for topic, kind in (silent or {}).items():
            writer.add_connection(topic, kind, typestore=types)
        for at, topic, message in sorted(entries, key=lambda entry: entry[0]):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, NAMES[type(message)], typestore=types)
            writer.write(connections[topic], at, serialize_message(message))
    return folder


def storage_file(folder: Path) -> Path:
    """Return the file that holds a bag's messages."""
    return next(path for path in folder.iterdir() if path.suffix in (".mcap", ".db3"))
