# SPDX-License-Identifier: Apache-2.0
"""Publishes the frames of a recorded capture as a camera driver would: image, CameraInfo, depth, and the pose."""

from geometry_msgs.msg import PoseStamped, TransformStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.poses.listeners import DYNAMIC, pose_from_matrix

CAMERA_QOS = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


class CapturePublisher(Node):
    """One camera on the topics `image`, `camera_info`, `depth`; its pose on /tf, or on `pose`.

    Args:
        world_frame: frame of the poses.
        camera_frame: header frame of the images, an optical frame.
        pose_topic: publish poses on `pose` instead of /tf.
    """

    def __init__(self, world_frame: str, camera_frame: str, pose_topic: bool) -> None:
        super().__init__("lerf_replay")
        self._world_frame = world_frame
        self._camera_frame = camera_frame
        self._image = self.create_publisher(Image, "image", CAMERA_QOS)
        self._info = self.create_publisher(CameraInfo, "camera_info", CAMERA_QOS)
        self._depth = self.create_publisher(Image, "depth", CAMERA_QOS)
        self._pose = self.create_publisher(PoseStamped, "pose", CAMERA_QOS) if pose_topic else None
        self._tf = None if pose_topic else self.create_publisher(TFMessage, "/tf", DYNAMIC)

    def has_subscribers(self) -> bool:
        """Return whether somebody listens to the images and to the poses."""
        pose = self._pose or self._tf
        needed = (self._image, self._info, *((pose,) if pose else ()))
        return all(publisher.get_subscription_count() > 0 for publisher in needed)

    def publish(self, frame: PosedImage, stamp_ns: int) -> None:
        """Publish one frame, its pose first, all with the same stamp."""
        info = info_from_intrinsics(frame.intrinsics, self._camera_frame, stamp_ns)
        if self._pose is not None:
            message = PoseStamped(pose=pose_from_matrix(frame.T_world_cam))
            message.header.stamp, message.header.frame_id = info.header.stamp, self._world_frame
            self._pose.publish(message)
        if self._tf is not None:
            self._tf.publish(TFMessage(transforms=[self._transform(frame, info)]))
        self._info.publish(info)
        if frame.depth_m is not None:
            self._depth.publish(image_from_depth(frame.depth_m, self._camera_frame, stamp_ns))
        self._image.publish(image_from_rgb(frame.rgb, self._camera_frame, stamp_ns))

    def wait_delivered(self, timeout_s: float) -> bool:
        """Wait until reliable subscribers have acknowledged everything; return whether they have."""
        publishers = (self._image, self._info, self._depth)
        return all(p.wait_for_all_acked(Duration(seconds=timeout_s)) for p in publishers)

    def _transform(self, frame: PosedImage, info: CameraInfo) -> TransformStamped:
        pose = pose_from_matrix(frame.T_world_cam)
        message = TransformStamped(child_frame_id=self._camera_frame)
        message.header.stamp, message.header.frame_id = info.header.stamp, self._world_frame
        translation, position = message.transform.translation, pose.position
        translation.x, translation.y, translation.z = position.x, position.y, position.z
        message.transform.rotation = pose.orientation
        return message
