# SPDX-License-Identifier: Apache-2.0
"""ROS messages of the simulated robot: transforms, joint states, grasp requests."""

from collections.abc import Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, TransformStamped
from jaxtyping import Float64
from sensor_msgs.msg import JointState

from lerf_ros.core.geometry import pose_matrix, quaternion_from_matrix
from lerf_ros.sim.arm_model import LINKS
from lerf_ros.sim.simulation import RobotState
from lerf_ros.sim.urdf import finger_poses

BASE_FRAME = "base_link"
TCP_FRAME = "tcp"
CAMERA_FRAME = "wrist_camera_color_optical_frame"


def time_message(stamp_ns: int) -> Time:
    """builtin_interfaces/Time of nanoseconds."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return Time(sec=seconds, nanosec=nanoseconds)


def transform(parent: str, child: str, T_parent_child: Float64[np.ndarray, "4 4"], stamp_ns: int) -> TransformStamped:
    """geometry_msgs/TransformStamped of a 4x4 transform."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, time_message(stamp_ns)
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = (float(v) for v in T_parent_child[:3, 3])
    rotation.x, rotation.y, rotation.z, rotation.w = (float(v) for v in quaternion_from_matrix(T_parent_child[:3, :3]))
    return message


def link_transforms(state: RobotState, stamp_ns: int) -> list[TransformStamped]:
    """The chain base_link -> link1 -> ... -> link6."""
    parent, T_base_parent = BASE_FRAME, np.eye(4)
    chain = []
    for link in LINKS:
        T_base_link = state.links[link]
        chain.append(transform(parent, link, np.linalg.inv(T_base_parent) @ T_base_link, stamp_ns))
        parent, T_base_parent = link, T_base_link
    return chain


def finger_transforms(state: RobotState, stamp_ns: int) -> list[TransformStamped]:
    """link6 -> finger, for both fingers."""
    poses = finger_poses(state.positions[-2:])
    return [transform(LINKS[-1], name, pose, stamp_ns) for name, pose in poses.items()]


def object_transforms(poses: Mapping[str, Float64[np.ndarray, "4 4"]], stamp_ns: int) -> list[TransformStamped]:
    """base_link -> object, for every object."""
    return [transform(BASE_FRAME, name, pose, stamp_ns) for name, pose in poses.items()]


def joint_state(state: RobotState, stamp_ns: int) -> JointState:
    """sensor_msgs/JointState of arm and fingers."""
    message = JointState(name=list(state.joint_names))
    message.header.stamp = time_message(stamp_ns)
    message.position = state.positions.tolist()
    message.velocity = state.velocities.tolist()
    return message


def matrix_of_pose(pose: Pose) -> Float64[np.ndarray, "4 4"]:
    """4x4 transform of a pose.

    Raises:
        PoseError: a number is not finite, or the quaternion has no direction.
    """
    p, q = pose.position, pose.orientation
    return pose_matrix(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def out_of_range(values: Mapping[str, float], limits: Mapping[str, Sequence[float]]) -> str:
    """What is wrong with the first value that is not finite or outside its (low, high); "" if all are fine."""
    for name, value in values.items():
        low, high = limits[name]
        if not low <= value <= high:
            return f"{name} = {value} must lie within {low} and {high}"
    return ""
