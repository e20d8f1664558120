# SPDX-License-Identifier: Apache-2.0
"""The node in a process of its own, and a camera and a client in this one, over real DDS."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import rclpy
from rclpy.node import Node

from bench.timed_node import REPORT
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.demo.processes import Process, environment, free_domain
from lerf_ros.msg import Status
from lerf_ros.ros.capture_publisher import CapturePublisher
from lerf_ros.ros.running import spin_until_done
from lerf_ros.ros.transport import use_profile
from lerf_ros.srv import Query

CAMERA_FRAME: Final = "bench_optical_frame"
READY_S: Final = 90.0
ANSWER_S: Final = 60.0
KEPT_S: Final = 60.0
AGAIN_S: Final = 5.0
FAST_STATUS: Final = {"runtime.status_period_s": 0.05}
"""What times are read off; 20 a second."""


class Link:
    """Publishes frames, hears ~/status, asks ~/query."""

    def __init__(self, process: Process, callbacks_file: Path) -> None:
        self.process, self.callbacks_file = process, callbacks_file
        self.status = Status()
        self.heard = 0
        self._node = Node("lerf_bench")
        self._camera = CapturePublisher("base_link", CAMERA_FRAME, pose_topic=False)
        self._query = self._node.create_client(Query, "/lerf/query")
        self._node.create_subscription(Status, "/lerf/status", self._on_status, 1)

    def wait_ready(self) -> None:
        """Wait until the node listens and answers.

        Raises:
            TimeoutError, RuntimeError: it does not in time, or has died.
        """
        self.wait(lambda: self._query.service_is_ready() and self._camera.has_subscribers() and self.heard > 0,
                  "the node", READY_S)  # fmt: skip

    def now_ns(self) -> int:
        """Return the node's time."""
        return int(self._node.get_clock().now().nanoseconds)

    def show(self, image: PosedImage) -> int:
        """Publish a frame as taken now; return its stamp, nanoseconds."""
        stamp_ns = self.now_ns()
        self._camera.publish(image, stamp_ns)
        return stamp_ns

    def show_until_kept(self, image: PosedImage) -> int:
        """Publish a frame until it is a keyframe (camera topics may lose one); return its stamp, nanoseconds.

        Raises:
            TimeoutError, RuntimeError: it never becomes one, or the node has died.
        """
        before = int(self.status.keyframes)
        deadline = time.monotonic() + KEPT_S
        while True:
            stamp_ns = self.show(image)
            try:
                self.wait(lambda: int(self.status.keyframes) > before, "a keyframe", AGAIN_S)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
            else:
                return stamp_ns

    def spin(self, seconds: float) -> None:
        """Hear what comes for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            rclpy.spin_once(self._node, timeout_sec=left)

    def wait(self, condition: Callable[[], bool], what: str, limit_s: float) -> None:
        """Spin until a condition holds.

        Raises:
            TimeoutError, RuntimeError: it does not in time, or the node has died.
        """
        deadline = time.monotonic() + limit_s
        while not condition():
            self.process.check()
            if time.monotonic() > deadline:
                dropped = dict(zip(self.status.drop_causes, map(int, self.status.drop_counts), strict=True))
                raise TimeoutError(f"not within {limit_s:g} s: {what} (dropped: {dropped}); see {self.process.log}")
            rclpy.spin_once(self._node, timeout_sec=0.05)

    def ask(self, phrases: Sequence[str]) -> tuple[Any, float]:
        """Return the answer to phrases, and the time from request to answer, milliseconds.

        Raises:
            TimeoutError: there was none.
        """
        begin = time.perf_counter()
        future = self._query.call_async(Query.Request(prompts=list(phrases)))
        spin_until_done(self._node, future, ANSWER_S)
        if not future.done():
            raise TimeoutError(f"no answer within {ANSWER_S:g} s; see {self.process.log}")
        return future.result(), 1e3 * (time.perf_counter() - begin)

    def mapped_stamp_ns(self) -> int:
        """Return the stamp of the newest keyframe that answers are made from; 0: no map yet. Asks an empty phrase."""
        stamp = self.ask([""])[0].map_stamp
        return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)

    def memory_mb(self) -> float:
        """Return the node's resident memory now, MB (10^6 bytes; Linux)."""
        text = Path(f"/proc/{self.process.popen.pid}/statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close(self) -> None:
        """Leave ROS; the process is ended by `linked`."""
        self._node.destroy_node()
        self._camera.destroy_node()

    def _on_status(self, status: Status) -> None:
        self.status = status
        self.heard += 1


@contextlib.contextmanager
def linked(folder: Path, parameters: Mapping[str, object]) -> Iterator[Link]:
    """Start the node with parameters, wait until it is ready, and stop it in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    env = environment(free_domain(), folder)
    names = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR")
    kept = {name: os.environ.get(name) for name in (*names, "FASTRTPS_DEFAULT_PROFILES_FILE")}
    os.environ.update({name: env[name] for name in names})
    use_profile()
    callbacks = folder / "callbacks.json"
    process = _start(folder / "node.log", parameters, {**env, REPORT: str(callbacks)})
    rclpy.init()
    link = Link(process, callbacks)
    try:
        link.wait_ready()
        yield link
    finally:
        link.close()
        rclpy.try_shutdown()
        process.stop()
        for name, value in kept.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def _start(log: Path, parameters: Mapping[str, object], env: Mapping[str, str]) -> Process:
    given = [part for key, value in parameters.items() for part in ("-p", f"{key}:={_literal(value)}")]
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", "bench.timed_node", "--ros-args", *given], env=dict(env), stdout=output,
            stderr=subprocess.STDOUT, cwd=Path(__file__).resolve().parents[1], start_new_session=True,
        )  # fmt: skip
    return Process("lerf", popen, log)


def _literal(value: object) -> str:
    """Return a value as ROS takes it on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(str, value))}]" if isinstance(value, (list, tuple)) else str(value)
