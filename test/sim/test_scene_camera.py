# SPDX-License-Identifier: Apache-2.0
"""The robot with its second camera, compressed, heard as the node hears cameras: both are posed and see one table."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from ros_processes import Program, wait_until

from lerf_ros.config import from_flat
from lerf_ros.core.geometry import transform_points
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.errors import InputError
from lerf_ros.ros.cameras.ingest import Frame, Ingest
from lerf_ros.ros.cameras.inputs import CameraInputs
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.poses.listeners import TransformListener
from lerf_ros.ros.poses.tf_buffer import TfBuffer
from lerf_ros.ros.selfcheck.check import SelfCheck
from lerf_ros.ros.settings import Settings
from lerf_ros.sim.camera_topics import SCENE_CAMERA_FRAME, SCENE_VIEW
from lerf_ros.sim.messages import CAMERA_FRAME

pytestmark = pytest.mark.ros
REMAPS = [
    rule
    for name in ("wrist", "scene")
    for rule in (
        f"{name}/image:=/{name}_camera/color/image_raw", f"{name}/camera_info:=/{name}_camera/color/camera_info",
        f"{name}/depth:=/{name}_camera/depth/image_raw",
    )
]  # fmt: skip


@pytest.fixture
def robot(ros: Path) -> Iterator[Program]:
    parameters = ["seed:=3", "scene_camera:=true", "compressed:=true", "camera_hz:=2.0", "objects:=4"]
    arguments = [a for p in parameters for a in ("-p", p)]
    code = "import sys; from lerf_ros.sim.robot_node import main; sys.exit(main())"
    import sys

    with Program([sys.executable, "-c", code, "--ros-args", *arguments], ros / "robot_two_cameras.log") as program:
        yield program


def table_height(image: PosedImage) -> float:
    """Return the height above the base that most of an image's points share."""
    assert image.depth_m is not None
    v, u = np.nonzero(image.depth_m)
    local = image.intrinsics.unproject(u.astype(float), v.astype(float)) * image.depth_m[v, u][:, None]
    z = transform_points(image.T_world_cam, local.astype(float))[:, 2]
    counts, edges = np.histogram(z, np.arange(-0.1, 0.5, 0.004))  # not the floor
    return float(edges[counts.argmax()] + 0.002)


def test_both_cameras_see_one_table_from_where_transforms_put_them(robot: Program, ros: Path) -> None:
    node = Node(
        "lerf", cli_args=["--ros-args", *(a for rule in REMAPS for a in ("-r", rule))], use_global_arguments=False
    )
    config = from_flat({
        "input.cameras": ["wrist", "scene"], "input.image_transport": "compressed", "input.self_filter": "none",
        "input.depth_transport": "compressedDepth", "input.tf_timeout_s": 0.0,
    })  # fmt: skip
    settings, transforms, check = Settings(config), TfBuffer(), SelfCheck()
    frames: list[Frame] = []
    loop = SimpleNamespace(submit=frames.append, drop=lambda *_: None, received_in=lambda _: None)
    site = SimpleNamespace(node=node, settings=settings, loop=loop, check=check)

    def now_ns() -> int:
        return int(node.get_clock().now().nanoseconds)

    listener = TransformListener(node, transforms, now_ns, lambda error, frame: None)
    inputs = CameraInputs(site)
    inputs.activate()
    ingest = Ingest(config.input, CameraPoses(settings, transforms), now_ns, check)
    images: dict[str, PosedImage] = {}

    def both_seen() -> bool:
        assert robot.alive, robot.output
        rclpy.spin_once(node, timeout_sec=0.05)
        while frames:
            try:
                image = ingest(frames.pop(0))
            except InputError:
                continue  # its transforms come a moment later; so do frames
            images[image.camera] = image
        return set(images) == {CAMERA_FRAME, SCENE_CAMERA_FRAME}

    wait_until(both_seen, f"frames of both cameras ({check.warnings})", 60.0)
    np.testing.assert_allclose(images[SCENE_CAMERA_FRAME].T_world_cam, SCENE_VIEW, atol=1e-6)
    heights = [table_height(image) for image in images.values()]
    assert abs(heights[0] - heights[1]) < 0.009, "one table"
    for image in images.values():
        assert image.rgb.shape == (480, 640, 3)
        assert image.rgb.std() > 10
    inputs.deactivate()
    listener.close()
    node.destroy_node()
