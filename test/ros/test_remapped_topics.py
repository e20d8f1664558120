# SPDX-License-Identifier: Apache-2.0
"""Whether a topic is published is asked of the name that it is remapped to: rclpy's own count ignores remapping."""

import pytest
import rclpy
from ros_processes import wait_until
from sensor_msgs.msg import Image

from lerf_ros.ros.selfcheck.watch import offered

pytestmark = pytest.mark.ros


@pytest.mark.usefixtures("ros")
@pytest.mark.parametrize("transport", ["", "/compressed"])
def test_a_remapped_topic_is_looked_for_where_it_is(transport: str) -> None:
    node = rclpy.create_node("remapped", cli_args=["--ros-args", "-r", "image:=/elsewhere", "-r", "depth:=/nowhere"])
    try:
        node.create_publisher(Image, f"/elsewhere{transport}", 1)

        def found() -> bool:
            rclpy.spin_once(node, timeout_sec=0.05)
            return offered(node, "image") == {"not_published image": None}

        wait_until(found, "the publisher of /elsewhere")
        told = offered(node, "depth")["not_published depth"]
        assert told is not None
        assert "nobody publishes /nowhere" in told
    finally:
        node.destroy_node()
