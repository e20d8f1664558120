# SPDX-License-Identifier: Apache-2.0
"""What a freshly started node says of topics, clock and robot that are not there yet, over real DDS."""

from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros.lerf_client import LerfClient
from ros.scanning_camera import ARM, SMALL, Camera, transform
from ros_processes import lerf_node, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from tiny_clip_model import write_model

from lerf_ros.ros.outputs.clouds import cloud_arrays

pytestmark = pytest.mark.ros
URDF = """<robot name="r"><link name="hand"><collision><geometry><box size="0.2 0.06 0.06"/></geometry></collision>
</link></robot>"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_model(tmp_path_factory.mktemp('encoder') / 'tiny')}"


def test_missing_topics_and_a_clock_that_does_not_run(ros: Path, encoder: str) -> None:
    parameters = {**SMALL, "encoder.model": encoder, "use_sim_time": True}
    rules = [f"{stream}:=other_{stream}" for stream in ("image", "camera_info", "depth")]
    client = LerfClient()
    expected = {"clock_not_running", *(f"not_published {s}" for s in ("image", "camera_info", "depth"))}

    def named() -> set[str]:
        return {w.split(":")[0] for w in client.next_status().warnings}

    with lerf_node(ros / "clock.log", parameters, rules) as program:
        wait_until(lambda: client.query_client.wait_for_service(0.5) or not program.alive, "the service", 40)
        wait_until(lambda: named() == expected, "all four faults", 30)
        client.create_publisher(Image, "other_image", 1)
        clock = client.create_publisher(Clock, "/clock", 1)

        def running_clock() -> bool:
            now = client.now_ns()
            clock.publish(Clock(clock=transform("a", "b", np.eye(4), now).header.stamp))
            return named() == expected - {"clock_not_running", "not_published image"}

        wait_until(running_clock, "the clock and images are found", 30)
    client.destroy_node()


def test_the_robot_is_never_mapped(ros: Path, encoder: str) -> None:
    client = LerfClient()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    clouds: list[PointCloud2] = []
    client.create_subscription(PointCloud2, "/lerf/cloud", clouds.append, latched)
    client.create_publisher(String, "robot_description", latched).publish(String(data=URDF))
    with lerf_node(ros / "filter.log", {**SMALL, "encoder.model": encoder}) as program:
        try:
            client.wait_ready()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{program.output}") from None
        camera = Camera(client)
        camera.until(lambda names: "self_filter_tf" in names, "frames without the hand's pose to be dropped")
        assert client.status.keyframes == 0
        assert client.drops()["self_filter_tf"] > 0
        hand = transform("base_link", "hand", np.eye(4), 0)
        hand.transform.translation.x, hand.transform.translation.z = ARM.centre[0], ARM.centre[2]
        client.tf_static.publish(TFMessage(transforms=[hand]))
        camera.until(lambda names: client.status.keyframes > 8 and not names, "a map, without warnings")
        wait_until(lambda: client.next_status().snapshot_step > 0 and bool(clouds), "a cloud", 30)
        wait_until(lambda: client.next_status() is not None and len(cloud_arrays(clouds[-1])[0]) > 500, "points", 30)
    points = cloud_arrays(clouds[-1])[0]
    outside = np.abs(points - np.array(ARM.centre)) - np.array(ARM.size) / 2
    assert (outside.max(axis=1) > 0.01).all(), "no point of the map lies on the arm"
    client.destroy_node()
