# SPDX-License-Identifier: Apache-2.0
"""Starts the node `lerf`, and RViz on demand.

ros2 launch lerf_ros lerf.launch.py image:=/camera/color/image_raw camera_info:=/camera/color/camera_info \
    depth:=/camera/aligned_depth_to_color/image_raw
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = get_package_share_directory("lerf_ros")
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
ARGUMENTS = {
    "params_file": (os.path.join(SHARE, "config", "lerf.yaml"), "Parameters of the node"),
    "use_sim_time": ("false", "Take time from /clock"),
    "namespace": ("", "Namespace of the node"),
    "rviz": ("false", "Start RViz too"),
    "image": ("/camera/color/image_raw", "Colour image topic"),
    "camera_info": ("/camera/color/camera_info", "CameraInfo topic of the colour camera"),
    "depth": ("/camera/aligned_depth_to_color/image_raw", "Depth topic, registered to colour"),
    "pose": ("pose", "PoseStamped topic of the camera, when input.pose_source is pose"),
    "log_level": ("info", "debug, info, warn, error"),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what they start."""
    use_sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    lerf = Node(
        package="lerf_ros",
        executable="lerf_node",
        name="lerf",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), {"use_sim_time": use_sim_time}],
        remappings=[(topic, LaunchConfiguration(topic)) for topic in ("image", "camera_info", "depth", "pose")],
        arguments=["--ros-args", "--log-level", ["lerf:=", LaunchConfiguration("log_level")]],
        output="screen",
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", os.path.join(SHARE, "config", "lerf.rviz")],
        parameters=[{"use_sim_time": use_sim_time}],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    profile = EnvironmentVariable(PROFILE, default_value=os.path.join(SHARE, "config", "fastdds.xml"))
    declared = [DeclareLaunchArgument(name, default_value=d, description=t) for name, (d, t) in ARGUMENTS.items()]
    return LaunchDescription([*declared, SetEnvironmentVariable(PROFILE, profile), lerf, rviz])
