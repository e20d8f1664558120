# SPDX-License-Identifier: Apache-2.0
"""Starts the simulated arm with its wrist camera, and the node `lerf` on it.

ros2 launch lerf_ros sim_arm.launch.py prompts:='the red mug' rviz:=true
ros2 service call /sim_robot/scan std_srvs/srv/Trigger     # the arm looks at the table from all sides
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = get_package_share_directory("lerf_ros")
ARGUMENTS = {
    "params_file": (os.path.join(SHARE, "config", "sim_arm.yaml"), "Parameters of the node"),
    "seed": ("0", "Scene: decides objects, table and light"),
    "objects": ("6", "Objects on the table"),
    "camera_hz": ("5.0", "Camera frames a second"),
    "compressed": ("false", "Compressed images alone; the node then needs image_transport and depth_transport"),
    "scene_camera": ("false", "A second camera, on a stand: /scene_camera/..."),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what they start; those of lerf.launch.py are taken too."""
    robot = Node(
        package="lerf_ros",
        executable="sim_robot",
        name="sim_robot",
        parameters=[
            {
                "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                "objects": ParameterValue(LaunchConfiguration("objects"), value_type=int),
                "camera_hz": ParameterValue(LaunchConfiguration("camera_hz"), value_type=float),
                "compressed": ParameterValue(LaunchConfiguration("compressed"), value_type=bool),
                "scene_camera": ParameterValue(LaunchConfiguration("scene_camera"), value_type=bool),
            }
        ],
        output="screen",
    )
    lerf = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(os.path.join(SHARE, "launch", "lerf.launch.py")),
        launch_arguments={
            "params_file": LaunchConfiguration("params_file"),
            "image": "/wrist_camera/color/image_raw",
            "camera_info": "/wrist_camera/color/camera_info",
            "depth": "/wrist_camera/depth/image_raw",
        }.items(),
    )
    declared = [DeclareLaunchArgument(name, default_value=d, description=t) for name, (d, t) in ARGUMENTS.items()]
    return LaunchDescription([*declared, robot, lerf])
