# SPDX-License-Identifier: Apache-2.0
"""Launch, parameter and RViz files name only what exists: programs, parameters, topics, frames, files.

What exists is asked of the running node and the running robot; no second list is kept here. Each kind of mistake is
made on purpose in a copy, and must be found.
"""

import ast
import importlib.util
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from launch_stand_ins import PACKAGE, Described, LaunchFault, Started, describe
from package.launch_facts import OTHER, Facts, Surveyor
from ros_processes import Program, lerf_node
from tiny_clip_model import write_model

from lerf_ros.config import from_flat, options
from lerf_ros.errors import ConfigError
from lerf_ros.options import flattened
from lerf_ros.ros.outputs.clouds import CLOUD_FIELDS

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
LAUNCH_FILES = sorted(path.name for path in ROOT.glob("launch/*.py"))
YAML_FILES = sorted(path.name for path in ROOT.glob("config/*.yaml"))
RVIZ_FILES = sorted(path.name for path in ROOT.glob("config/*.rviz"))
EVERYTHING = {
    "lerf.launch.py": {
        "namespace": "robot1", "rviz": "true", "image_transport": "compressed", "depth_transport": "raw",
        "prompts": "a mug, a cup", "autostart": "false", "respawn": "true", "remap": "/tf:=tf /tf_static:=tf_static",
    },
    "sim_arm.launch.py": {"rviz": "true", "namespace": "robot1", "seed": "3"},
    "realsense_wrist.launch.py": {"rviz": "true", "camera": "true", "hand_eye": "0 0 0.05 0 0 0 1"},
}  # fmt: skip
"""For each launch file, arguments with which it starts all that it can."""
OPTIONAL = {"realsense2_camera"}  # driver of one vendor, started only when it is asked for
PROMPTS = ["red", "green"]
DISPLAYS = {
    "Image": "sensor_msgs/msg/Image",
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "Pose": "geometry_msgs/msg/PoseStamped",
    "PoseArray": "geometry_msgs/msg/PoseArray",
    "PoseWithCovariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
}
THIN = 90


@pytest.fixture(scope="module")
def facts(ros: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    model = write_model(tmp_path_factory.mktemp("encoder") / "tiny")
    given = {"encoder.model": f"local-dir:{model}", "outputs.prompts": PROMPTS}
    by_pose, by_odometry = ({**given, "input.pose_source": source} for source in ("pose", "odometry"))
    robot = [sys.executable, "-m", "lerf_ros.sim.robot_node", "--ros-args", "-p", "objects:=1", "-p", "camera_hz:=1.0"]
    surveyor = Surveyor(len(PROMPTS))
    with (
        lerf_node(ros / "by_pose.log", by_pose) as node,
        lerf_node(ros / "by_odometry.log", by_odometry, [f"__ns:={OTHER}"]) as other,
        Program(robot, ros / "robot.log") as sim,
    ):
        running = (node, other, sim)
        try:
            found = surveyor.survey(lambda: all(program.alive for program in running))
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *(program.output for program in running)])) from None
    yield found
    surveyor.destroy_node()


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """A copy of what is installed as share/lerf_ros."""
    for folder in ("launch", "config"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("everything", [False, True], ids=["defaults", "everything"])
@pytest.mark.parametrize("name", LAUNCH_FILES)
def test_a_launch_file_names_only_what_exists(name: str, everything: bool, facts: Facts) -> None:
    assert faults_of_launch(name, EVERYTHING[name] if everything else {}, ROOT, facts) == []


@pytest.mark.parametrize("name", YAML_FILES)
def test_a_parameter_file_names_only_what_exists(name: str, facts: Facts) -> None:
    assert faults_of_yaml(ROOT / "config" / name, facts) == []


@pytest.mark.parametrize("name", RVIZ_FILES)
def test_an_rviz_file_names_only_what_exists(name: str, facts: Facts) -> None:
    assert faults_of_rviz(ROOT / "config" / name, facts) == []


@pytest.mark.parametrize("name", LAUNCH_FILES)
def test_a_launch_file_is_thin(name: str) -> None:
    assert len((ROOT / "launch" / name).read_text().splitlines()) <= THIN


def test_the_robot_s_frame_is_the_map_s(facts: Facts) -> None:
    assert from_flat(yaml_values(ROOT / "config/sim_arm.yaml")).input.world_frame in facts.frames


MISTAKES = [
    ("launch/lerf.launch.py", 'executable="lerf_node"', 'executable="lerf_nod"', "no program 'lerf_nod'"),
    ("launch/lerf.launch.py", 'package="rviz2"', 'package="rviz3"', "'rviz3' is not in package.xml"),
    ("launch/lerf.launch.py", '"runtime.autostart"', '"runtime.auto_start"', "no parameter 'runtime.auto_start'"),
    ("launch/lerf.launch.py", '"lerf.rviz"', '"lerv.rviz"', "no file 'lerv.rviz'"),
    ("launch/lerf.launch.py", '"fastdds.xml"', '"fast.xml"', "no file 'fast.xml'"),
    ("launch/lerf.launch.py", '"camera_info", "depth"', '"camera_inf", "depth"', "camera_inf"),
    ("launch/lerf.launch.py", 'LaunchConfiguration("use_sim_time")', 'LaunchConfiguration("sim_time")', "'sim_time'"),
    ("launch/lerf.launch.py", "respawn_delay=", "respawn_wait=", "respawn_wait"),
    ("launch/lerf.launch.py", '("image", given["image"]), *remap', '("img", given["image"])', "'img' is no topic"),
    ("launch/sim_arm.launch.py", 'executable="sim_robot"', 'executable="sim_arm"', "no program 'sim_arm'"),
    ("launch/sim_arm.launch.py", '"seed": P', '"sed": P', "no parameter 'sed'"),
    ("launch/sim_arm.launch.py", "/wrist_camera/depth", "/wrist_camera/depths", "/wrist_camera/depths/image_raw"),
    ("launch/sim_arm.launch.py", '"depth": "/', '"deep": "/', "no launch argument deep"),
    ("launch/sim_arm.launch.py", '"lerf.launch.py"', '"lerf_launch.py"', "lerf_launch.py does not exist"),
    ("launch/realsense_wrist.launch.py", '"realsense2_camera"', '"realsense_camera"', "'realsense_camera'"),
    ("launch/realsense_wrist.launch.py", '"flange_frame",', '"flange",', "'flange' is not declared"),
    ("config/sim_arm.yaml", "lerf:", "lefr:", "no node 'lefr'"),
    ("config/sim_arm.yaml", "/**/lerf:", "lerf:", "'lerf' holds in one namespace alone"),
    ("config/sim_arm.yaml", "depth_max_m", "depth_max", "no parameter 'input.depth_max'"),
    ("config/sim_arm.yaml", "depth_max_m: 2.0", "depth_max_m: -2.0", "out of range"),
    ("config/lerf.rviz", "Value: lerf/markers", "Value: lerf/marker", "/lerf/marker is not published"),
    ("config/lerf.rviz", "Value: lerf/markers", "Value: lerf/cloud", "visualization_msgs/msg/MarkerArray"),
    ("config/lerf.rviz", "Transient Local", "Volatile", "keeps its last messages"),
    ("config/lerf.rviz", "Durability Policy: Volatile", "Durability Policy: Transient Local", "keeps no messages"),
    ("config/lerf.rviz", "Value: image", "Value: picture", "/picture is not published"),
    ("config/lerf.rviz", "Fixed Frame: base_link", "Fixed Frame: world", "no frame 'world'"),
    ("config/lerf.rviz", "Channel Name: relevancy", "Channel Name: relevance", "no channel 'relevance'"),
    ("config/lerf.rviz", "rviz_default_plugins/Pose\n", "rviz_default_plugins/Poze\n", "Poze"),
]


@pytest.mark.parametrize(("file", "right", "wrong", "said"), MISTAKES, ids=[wrong for _, _, wrong, _ in MISTAKES])
def test_a_wrong_name_is_found(file: str, right: str, wrong: str, said: str, share: Path, facts: Facts) -> None:
    text = (share / file).read_text()
    assert right in text, "the mistake cannot be made any more: write another one"
    (share / file).write_text(text.replace(right, wrong))
    if file.startswith("launch"):
        name = Path(file).name
        faults = faults_of_launch(name, {}, share, facts) + faults_of_launch(name, EVERYTHING[name], share, facts)
    else:
        faults = (faults_of_yaml if file.endswith("yaml") else faults_of_rviz)(share / file, facts)
    assert any(said in fault for fault in faults), faults


def faults_of_launch(name: str, arguments: Mapping[str, str], share: Path, facts: Facts) -> list[str]:
    """Return what is wrong with a launch file, started with these arguments."""
    try:
        described = describe(share / "launch" / name, share, arguments)
    except LaunchFault as fault:
        return [str(fault)]
    faults = [f"no file {path.name!r}" for path in described.files if not path.is_file()]
    packages = {*(node.package for node in described.nodes), *described.includes} - dependencies() - OPTIONAL
    faults += [f"{package!r} is not in package.xml" for package in sorted(packages - {PACKAGE})]
    for node in described.nodes:
        if node.package == PACKAGE:
            faults += faults_of_node(node, described, facts)
        elif node.package == "rviz2":
            topics = {*subscriptions(rviz_files(node)), *transforms(facts)}
            faults += [f"{topic!r} is no topic of RViz" for topic in node.remappings if topic not in topics]
    return faults


def faults_of_node(node: Started, described: Described, facts: Facts) -> list[str]:
    if node.executable not in programs():
        return [f"no program {node.executable!r}"]
    if node.name not in facts.parameters:
        return [f"no node {node.name!r}"]
    unknown = node.parameters - facts.parameters[node.name]
    faults = [f"{node.name} has no parameter {key!r}" for key in sorted(unknown)]
    own = {**facts.published[node.name], **facts.subscribed[node.name]}
    faults += [f"{node.name} has no topic {topic}" for topic in node.remappings if absolute(topic) not in own]
    for other in described.nodes:
        if other.name == "sim_robot" and node.name == "lerf":
            faults += faults_of_wiring(node.remappings, own, facts.published[other.name])
    return faults


def faults_of_wiring(remappings: Mapping[str, str], wanted: Mapping[str, str], sent: Mapping[str, str]) -> list[str]:
    """Return what the node would wait for in vain: topics the robot does not publish, or as another type."""
    return [
        f"{target} is not published as {wanted.get(absolute(topic))}"
        for topic, target in remappings.items()
        if target.startswith("/") and sent.get(target) != wanted.get(absolute(topic))
    ]


def faults_of_yaml(path: Path, facts: Facts) -> list[str]:
    """Return what is wrong with a parameter file."""
    faults = []
    for pattern, tree in yaml.safe_load(path.read_text()).items():
        node = pattern.split("/")[-1]
        if not pattern.startswith("/**/"):
            faults.append(f"{pattern!r} holds in one namespace alone")
        if node not in facts.parameters:
            faults.append(f"no node {node!r}")
            continue
        unknown = set(flattened(tree["ros__parameters"])) - facts.parameters[node]
        faults += [f"{node} has no parameter {key!r}" for key in sorted(unknown)]
    try:
        from_flat(yaml_values(path))
    except ConfigError as error:
        faults.append(str(error))
    return faults


def yaml_values(path: Path) -> dict[str, object]:
    """Return the known parameters of a file."""
    known = {option.key for option in options()}
    trees = yaml.safe_load(path.read_text()).values()
    return {k: v for tree in trees for k, v in flattened(tree["ros__parameters"]).items() if k in known}


def faults_of_rviz(path: Path, facts: Facts) -> list[str]:
    """Return what is wrong with an RViz file; its topics are relative to the namespace of the node."""
    manager = yaml.safe_load(path.read_text())["Visualization Manager"]
    own = {**facts.subscribed["lerf"], **facts.published["lerf"]}
    channels = {channel.name for channel in CLOUD_FIELDS}
    faults = []
    for display in manager["Displays"]:
        kind = display["Class"].split("/")[-1]
        if kind in ("Grid", "TF"):
            continue
        topic = absolute(display["Topic"]["Value"])
        if topic not in own:
            faults.append(f"{topic} is not published")
        elif own[topic] != DISPLAYS.get(kind):
            faults.append(f"{kind} shows {DISPLAYS.get(kind)}, but {topic} is {own[topic]}")
        faults += faults_of_qos(topic, display["Topic"], facts)
        if display.get("Channel Name", "relevancy") not in channels:
            faults.append(f"no channel {display['Channel Name']!r}")
    frame = manager["Global Options"]["Fixed Frame"]
    return faults if frame in facts.frames else [*faults, f"no frame {frame!r}"]


def faults_of_qos(topic: str, wanted: Mapping[str, Any], facts: Facts) -> list[str]:
    """Return why RViz would receive nothing, or late: the topic offers less, or more, than RViz asks for."""
    faults = []
    if wanted["Reliability Policy"] == "Reliable" and not facts.reliable.get(topic, True):
        faults.append(f"{topic} is best effort")
    keeps = wanted["Durability Policy"] == "Transient Local"
    if keeps != facts.kept.get(topic, keeps):
        faults.append(f"{topic} {'keeps no' if keeps else 'keeps its last'} messages for who comes later")
    return faults


def rviz_files(node: Started) -> list[Path]:
    return [Path(word) for word in node.arguments if word.endswith(".rviz")]


def subscriptions(files: list[Path]) -> Iterator[str]:
    for path in files:
        manager: Any = yaml.safe_load(path.read_text())["Visualization Manager"] if path.is_file() else {"Displays": []}
        yield from (display["Topic"]["Value"] for display in manager["Displays"] if "Topic" in display)


def transforms(facts: Facts) -> list[str]:
    return [topic for topic, kind in facts.subscribed["lerf"].items() if kind == "tf2_msgs/msg/TFMessage"]


def absolute(topic: str) -> str:
    """Return the name of a node's topic in the root namespace."""
    return topic if topic.startswith("/") else f"/{topic}"


def programs() -> set[str]:
    """Return what CMake installs for `ros2 run`, and what runs: each script's `main` can be imported."""
    installed = re.search(r"install\(PROGRAMS ([^)]*) DESTINATION lib/", (ROOT / "CMakeLists.txt").read_text())
    assert installed
    found = set()
    for script in map(ROOT.joinpath, installed[1].split()):
        tree = ast.parse(script.read_text())
        modules = [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
        if script.stat().st_mode & 0o111 and modules and all(map(importlib.util.find_spec, modules)):
            found.add(script.name)
    return found


def dependencies() -> set[str]:
    """Return the packages that are there whenever this one is installed."""
    root = ET.parse(ROOT / "package.xml").getroot()
    return {entry.text or "" for tag in ("depend", "exec_depend") for entry in root.iter(tag)}
