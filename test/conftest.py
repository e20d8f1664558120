# SPDX-License-Identifier: Apache-2.0
"""ROS for the test process and what it starts: a domain of its own, logs in a temporary folder, one `rclpy.init`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ros_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set the environment that child processes inherit; return the folder for logs."""
    from domain_coordinator import domain_id

    from lerf_ros.ros.transport import use_profile

    folder = tmp_path_factory.mktemp("ros")
    with domain_id() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("ROS_LOG_DIR", str(folder / "log"))
        patch.setenv("ROS_HOME", str(folder))
        patch.setenv("RCUTILS_COLORIZED_OUTPUT", "0")
        patch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE", ""))
        use_profile()
        yield folder


@pytest.fixture(scope="session")
def ros(ros_environment: Path) -> Iterator[Path]:
    """Initialise rclpy in the test process, once; return the folder for logs."""
    import rclpy

    rclpy.init()
    yield ros_environment
    rclpy.try_shutdown()
