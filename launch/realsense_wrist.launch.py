# SPDX-License-Identifier: Apache-2.0
"""A RealSense camera on the wrist (realsense2_camera 4.x) and the node `lerf` on it.

ros2 launch lerf_ros realsense_wrist.launch.py camera:=true hand_eye:='0.02 -0.018 0.055 0 -0.7071 0 0.7071'

`hand_eye` is for robots whose URDF does not hold the camera already: x y z of the camera in the flange's frame, metres,
and its orientation as a quaternion x y z w. A calibration to the optical frame instead of camera_link needs
`camera_frame:=camera_color_optical_frame publish_tf:=false`: a frame has one parent only.
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

FRAMES = {"--frame-id": "flange_frame", "--child-frame-id": "camera_frame"}
SHARE = get_package_share_directory("lerf_ros")
ARGUMENTS = {
    "camera": ("false", "Start realsense2_camera too (its own arguments are taken, such as serial_no)"),
    "camera_namespace": ("camera", "Namespace of the camera node"),
    "camera_name": ("camera", "Name of the camera node, and prefix of its frames"),
    "publish_tf": ("true", "realsense2_camera publishes the frames between camera_link and the optical ones"),
    "hand_eye": ("", "'x y z qx qy qz qw' of camera_frame in flange_frame; empty: the robot publishes it"),
    "flange_frame": ("tool0", "Frame that the camera is bolted to"),
    "camera_frame": ("camera_link", "Frame whose pose hand_eye is"),
}


def hand_eye(context: LaunchContext) -> list[Node]:
    """Return the publisher of the hand-eye transform, where one is given."""
    values = LaunchConfiguration("hand_eye").perform(context).split()
    if not values:
        return []
    if len(values) != 7:
        raise ValueError(f"hand_eye takes 'x y z qx qy qz qw', got {len(values)} values: {' '.join(values)!r}")
    flags = dict(zip(("--x", "--y", "--z", "--qx", "--qy", "--qz", "--qw"), values, strict=True))
    flags |= {name: LaunchConfiguration(frame) for name, frame in FRAMES.items()}
    arguments = [part for flag in flags.items() for part in flag]
    return [Node(package="tf2_ros", executable="static_transform_publisher", name="hand_eye", arguments=arguments)]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what they start; those of lerf.launch.py are taken too."""
    base = ["/", LaunchConfiguration("camera_namespace"), "/", LaunchConfiguration("camera_name")]
    camera = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([FindPackageShare("realsense2_camera"), "/launch/rs_launch.py"]),
        launch_arguments={
            "camera_namespace": LaunchConfiguration("camera_namespace"),
            "camera_name": LaunchConfiguration("camera_name"),
            "publish_tf": LaunchConfiguration("publish_tf"),
            "align_depth.enable": "true",
            "enable_sync": "true",
        }.items(),
        condition=IfCondition(LaunchConfiguration("camera")),
    )
    lerf = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(os.path.join(SHARE, "launch", "lerf.launch.py")),
        launch_arguments={
            "image": [*base, "/color/image_raw"],
            "camera_info": [*base, "/color/camera_info"],
            "depth": [*base, "/aligned_depth_to_color/image_raw"],
        }.items(),
    )
    declared = [DeclareLaunchArgument(name, default_value=d, description=t) for name, (d, t) in ARGUMENTS.items()]
    return LaunchDescription([*declared, camera, OpaqueFunction(function=hand_eye), lerf])
