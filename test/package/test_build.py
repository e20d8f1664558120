# SPDX-License-Identifier: Apache-2.0
"""The tree builds with pip and with colcon, in a copy; what was built is what runs, and it talks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
NOT_SOURCES = shutil.ignore_patterns(
    ".git", ".venv", "build", "install", "log", "out", "dist", "test", "__pycache__", ".*_cache", "*.so", "*.egg-info"
)
BUILD_S = 300
ASK = """
import sys, rclpy, lerf_ros
from lerf_ros.srv import Query
assert lerf_ros.__file__.startswith(sys.argv[1]), lerf_ros.__file__
rclpy.init()
node = rclpy.create_node("both")
def answer(request, response):
    response.message = " and ".join(request.prompts)
    return response
node.create_service(Query, "query", answer)
client = node.create_client(Query, "query")
assert client.wait_for_service(15)
future = client.call_async(Query.Request(prompts=["red", "mug"]))
rclpy.spin_until_future_complete(node, future, timeout_sec=15)
print(future.result().message)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the sources, without anything generated or built."""
    copy = tmp_path / "ws" / "src" / "lerf_ros"
    shutil.copytree(ROOT, copy, ignore=NOT_SOURCES)
    for generated in ("msg", "srv"):
        shutil.rmtree(copy / "lerf_ros" / generated, ignore_errors=True)
    return copy


def environment(**changes: str) -> dict[str, str]:
    """As in an activated virtual environment."""
    clean = {k: v for k, v in os.environ.items() if k not in ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "PYTHONPATH")}
    return {**clean, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **changes}


def run(command: list[str], cwd: Path, env: dict[str, str], timeout_s: float = BUILD_S) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
    return done.stdout


@pytest.mark.usefixtures("ros_environment")
def test_pip_builds_the_package_and_its_interfaces(source: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    pip = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--ignore-installed"]
    run([*pip, "--prefix", str(prefix), "."], source, environment())
    site = next(prefix.glob("lib/python3*/site-packages"))
    assert (site / "tf2_msgs").is_dir(), "the wheels lack it, so it is built along"
    assert (prefix / "share/lerf_ros/config/fastdds.xml").is_file()
    assert (site / "lerf_ros/models/tinyclip/open_clip_config.json").is_file()
    libraries = f"{prefix / 'lib'}{os.pathsep}{os.environ.get('LD_LIBRARY_PATH', '')}"
    env = environment(PYTHONPATH=str(site), LD_LIBRARY_PATH=libraries, AMENT_PREFIX_PATH=str(prefix))
    assert run([sys.executable, "-c", ASK, str(site)], tmp_path, env).strip() == "red and mug"
    found = "from lerf_ros.ros.transport import share_file; print(share_file('config', 'fastdds.xml'))"
    assert run([sys.executable, "-c", found], tmp_path, env).strip() == str(
        prefix / "share/lerf_ros/config/fastdds.xml"
    )


@pytest.mark.usefixtures("ros_environment")
def test_colcon_builds_the_package(source: Path, tmp_path: Path) -> None:
    workspace = source.parents[1]
    colcon = [sys.executable, "-m", "colcon", "--log-base", "log", "build", "--event-handlers", "console_direct+"]
    run(colcon, workspace, environment())
    assert [p.name for p in (workspace / "install").iterdir() if p.is_dir()] == ["lerf_ros"], (
        "compat/ is not for colcon"
    )
    installed = workspace / "install" / "lerf_ros"
    sourced = ["bash", "-c", '. "$0/install/setup.bash" && exec "$@"', str(workspace)]
    asked = run([*sourced, sys.executable, "-c", ASK, str(installed)], tmp_path, environment())
    assert asked.strip() == "red and mug"
    program = installed / "lib/lerf_ros/lerf_node"
    for name in ("lerf_node", "sim_robot"):
        assert os.access(program.with_name(name), os.X_OK), "ros2 run and launch look for it here"
    refused = subprocess.run(
        [*sourced, str(program), "--ros-args", "-p", "no.such:=1"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "unknown parameter 'no.such'" in refused.stderr
    for file in (
        "launch/lerf.launch.py",
        "launch/sim_arm.launch.py",
        "config/lerf.yaml",
        "config/lerf.rviz",
        "config/fastdds.xml",
    ):
        assert (installed / "share/lerf_ros" / file).is_file()


def test_make_install_does_nothing_when_nothing_changed() -> None:
    """Its hashes cover every file the build reads, apart from Python code, which an editable install runs in place."""
    script = (ROOT / "scripts/install").read_text()
    for name in ("msg", "srv", "compat", "cmake", "config", "launch", "CMakeLists.txt", "package.xml", "setup.py"):
        assert (ROOT / name).exists()
        assert f" {name} " in script.split("package=$(hash_of")[1].split("\n")[0], name
