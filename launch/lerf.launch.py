# SPDX-License-Identifier: Apache-2.0
"""Starts the node `lerf`, and RViz on demand. The node configures and activates itself (`autostart:=false`: it waits).

ros2 launch lerf_ros lerf.launch.py image:=/camera/color/image_raw camera_info:=/camera/color/camera_info \
    depth:=/camera/aligned_depth_to_color/image_raw prompts:='red mug, drill' rviz:=true
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = get_package_share_directory("lerf_ros")
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
INPUTS = ("image", "camera_info", "depth", "depth_camera_info", "pose", "odometry", "robot_description", "mask")
ARGUMENTS = {
    "params_file": (os.path.join(SHARE, "config", "lerf.yaml"), "Parameters of the node"),
    "namespace": ("", "Namespace of the node (and of RViz, which so shows this node)"),
    "image": ("/camera/color/image_raw", "Colour image topic; its base name for any image_transport"),
    "camera_info": ("/camera/color/camera_info", "CameraInfo topic of the colour camera"),
    "depth": ("/camera/aligned_depth_to_color/image_raw", "Depth topic, registered to colour"),
    "depth_camera_info": ("depth_camera_info", "CameraInfo topic of a depth that is not registered to colour"),
    "pose": ("pose", "Pose topic of the camera (input.pose_source: pose)"),
    "odometry": ("odometry", "Odometry topic of what carries the camera (input.pose_source: odometry)"),
    "robot_description": ("/robot_description", "URDF of the robot, which is kept out of the map"),
    "mask": ("mask", "Mask topic that tells the robot's pixels instead (input.self_filter: mask)"),
    "remap": ("", "More topics, as 'from:=to from:=to': of several cameras ('left/image:=...'), /tf"),
    "image_transport": ("", "raw or compressed; empty: as params_file says"),
    "depth_transport": ("", "raw or compressedDepth; empty: as params_file says"),
    "prompts": ("", "Standing prompts, separated by commas; empty: as params_file says"),
    "autostart": ("", "false: wait for `ros2 lifecycle set`; empty: as params_file says (true by default)"),
    "use_sim_time": ("false", "Take time from /clock"),
    "respawn": ("false", "Start the node again when it dies"),
    "rviz": ("false", "Start RViz too"),
    "log_level": ("info", "debug, info, warn, error"),
}


def start(context: LaunchContext) -> list[Node]:
    """Return the programs. What is left empty overrides nothing of the parameter file."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    use_sim_time = {"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)}
    parameters = [given["params_file"], use_sim_time]
    if given["image_transport"]:
        parameters.append({"input.image_transport": given["image_transport"]})
    if given["depth_transport"]:
        parameters.append({"input.depth_transport": given["depth_transport"]})
    if given["autostart"]:
        autostart = ParameterValue(LaunchConfiguration("autostart"), value_type=bool)
        parameters.append({"runtime.autostart": autostart})
    if given["prompts"]:
        parameters.append({"outputs.prompts": [phrase.strip() for phrase in given["prompts"].split(",")]})
    remap = [tuple(rule.split(":=", 1)) for rule in given["remap"].split()]
    logger = ".".join(filter(None, [*given["namespace"].split("/"), "lerf"]))
    common = {"namespace": given["namespace"], "output": "screen"}
    lerf = Node(
        package="lerf_ros",
        executable="lerf_node",
        name="lerf",
        parameters=parameters,
        remappings=[*((topic, given[topic]) for topic in INPUTS), *remap],
        ros_arguments=["--log-level", f"{logger}:={given['log_level']}"],
        respawn=given["respawn"].lower() == "true",
        respawn_delay=5.0,
        **common,
    )
    if given["rviz"].lower() != "true":
        return [lerf]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", os.path.join(SHARE, "config", "lerf.rviz")],
        parameters=[use_sim_time],
        remappings=[("image", given["image"]), *remap],
        **common,
    )
    return [lerf, rviz]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what they start."""
    profile = EnvironmentVariable(PROFILE, default_value=os.path.join(SHARE, "config", "fastdds.xml"))
    declared = [DeclareLaunchArgument(name, default_value=d, description=t) for name, (d, t) in ARGUMENTS.items()]
    return LaunchDescription([*declared, SetEnvironmentVariable(PROFILE, profile), OpaqueFunction(function=start)])
