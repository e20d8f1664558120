# SPDX-License-Identifier: Apache-2.0
"""The other two processes of the demonstration: the simulated robot and the node, each with its log."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REMAPS = {
    "image": "/wrist_camera/color/image_raw",
    "camera_info": "/wrist_camera/color/camera_info",
    "depth": "/wrist_camera/depth/image_raw",
}
STOP_S = 10.0


@dataclass(frozen=True)
class Process:
    """A running program and where its output goes."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise if the process has ended.

        Raises:
            RuntimeError: with the end of its log.
        """
        code = self.popen.poll()
        if code is not None:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"{self.name} ended with code {code}; the end of {self.log}:\n{tail}")

    def peak_rss_mb(self) -> float:
        """Return the largest resident memory so far, in MB (Linux)."""
        try:
            status = Path(f"/proc/{self.popen.pid}/status").read_text(encoding="ascii")
        except OSError:
            return float("nan")
        line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: nan kB")
        return float(line.split()[1]) / 1024

    def stop(self) -> int:
        """Interrupt, wait, interrupt again, kill; return the exit code."""
        for _ in range(2):
            if self.popen.poll() is None:
                self.popen.send_signal(signal.SIGINT)
            try:
                return self.popen.wait(STOP_S)
            except subprocess.TimeoutExpired:
                continue
        self.popen.kill()
        return self.popen.wait()


def environment(domain: int, logs: Path) -> dict[str, str]:
    """Return the environment of all processes of one demonstration: own DDS domain, this machine only."""
    return {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(logs / "ros"),
        # Spinning OpenMP threads would starve the other process on a small machine.
        "OMP_WAIT_POLICY": "passive",
    }


def free_domain() -> int:
    """Return the user's ROS_DOMAIN_ID, or one that another demonstration started now is unlikely to have."""
    return int(os.environ.get("ROS_DOMAIN_ID") or 1 + (os.getpid() + time.time_ns() // 1_000_000) % 100)


def start_robot(seed: int, objects: int, env: Mapping[str, str], logs: Path) -> Process:
    """Start the simulated robot in the scene of this seed and number of objects."""
    scene = ["-p", f"seed:={seed}", "-p", f"objects:={objects}"]
    return _start("sim_robot", ["lerf_ros.sim.robot_node", "--ros-args", *scene], env, logs)


def start_node(params_file: Path, env: Mapping[str, str], logs: Path) -> Process:
    """Start the mapping node on the simulated camera's topics."""
    remaps = [part for name, topic in REMAPS.items() for part in ("-r", f"{name}:={topic}")]
    return _start("lerf", ["lerf_ros.ros.node", "--ros-args", "--params-file", str(params_file), *remaps], env, logs)


def _start(name: str, command: Sequence[str], env: Mapping[str, str], logs: Path) -> Process:
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", *command], env=dict(env), stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    return Process(name, popen, log)
