# SPDX-License-Identifier: Apache-2.0
"""A camera driver in a process of its own: RGB-D of the table and transforms at a steady pace, until it is stopped.

python -m bench.soak_camera SENT.json --rate 30 --reliability best_effort
"""

import json
import math
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import rclpy
import typer
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from jaxtyping import Float64
from numpy import ndarray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from bench.scene import VGA, balls, poses, render
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.poses.listeners import pose_from_matrix
from lerf_ros.ros.transport import use_profile

FRAME: Final = "soak_optical_frame"
VIEWS: Final = 24
VIEW_S: Final = 1.0
TRANSFORMS_A_FRAME: Final = 3
"""An arm's joint states come more often than images."""

RELIABLE: Final = QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class View:
    """Messages of one view, made beforehand: publishing only stamps them."""

    image: Image
    depth: Image
    info: CameraInfo
    transform: TransformStamped


class SoakCamera(Node):
    """Shows one view after another, each for a while, at the rate of a camera.

    Args:
        reliability: of the camera's publishers: best_effort or reliable.
    """

    def __init__(self, reliability: str) -> None:
        super().__init__("soak_camera")
        qos = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy[reliability.upper()])
        self._streams = {
            "image": self.create_publisher(Image, "image", qos),
            "depth": self.create_publisher(Image, "depth", qos),
            "camera_info": self.create_publisher(CameraInfo, "camera_info", qos),
        }
        self._tf = self.create_publisher(TFMessage, "/tf", RELIABLE)
        solids = balls()
        self._views = [_view(pose, render(pose, VGA, solids, 0)) for pose in poses(VIEWS)]
        self.sent: Counter[str] = Counter()
        self.slept_s = 0.0
        self.late_s = 0.0

    @property
    def heard(self) -> bool:
        """Somebody listens to all that is published."""
        return all(p.get_subscription_count() for p in (*self._streams.values(), self._tf))

    def run(self, rate_hz: float, stop: threading.Event) -> None:
        """Publish until `stop`."""
        period_s = 1.0 / (rate_hz * TRANSFORMS_A_FRAME)
        begin, tick = time.monotonic(), 0
        while not stop.is_set():
            view = self._views[int(tick * period_s / VIEW_S) % VIEWS]
            self._publish(view, with_images=tick % TRANSFORMS_A_FRAME == 0)
            tick += 1
            left_s = begin + tick * period_s - time.monotonic()
            self.late_s = max(self.late_s, -left_s)
            stop.wait(max(left_s, 0.0))

    def _publish(self, view: View, with_images: bool) -> None:
        stamp: Time = self.get_clock().now().to_msg()
        view.transform.header.stamp = stamp
        self._tf.publish(TFMessage(transforms=[view.transform]))
        self.sent["/tf"] += 1
        if not with_images:
            return
        for stream, message in (("camera_info", view.info), ("depth", view.depth), ("image", view.image)):
            message.header.stamp = stamp
            self._streams[stream].publish(message)
            self.sent[stream] += 1


def _view(pose: Float64[ndarray, "4 4"], seen: object) -> View:
    rgb, depth_m = seen.rgb, seen.depth_m  # type: ignore[attr-defined]
    transform = TransformStamped(child_frame_id=FRAME)
    transform.header.frame_id = "base_link"
    made = pose_from_matrix(pose)
    translation = transform.transform.translation
    translation.x, translation.y, translation.z = made.position.x, made.position.y, made.position.z
    transform.transform.rotation = made.orientation
    return View(
        image_from_rgb(rgb, FRAME, 0),
        image_from_depth(depth_m, FRAME, 0),
        info_from_intrinsics(VGA, FRAME, 0),
        transform,
    )


def main(
    report: Annotated[Path, typer.Argument(help="Where to write what was sent (JSON), when stopped")],
    rate: Annotated[float, typer.Option(min=1.0, max=120.0, help="Frames a second")] = 30.0,
    reliability: Annotated[str, typer.Option(help="best_effort or reliable")] = "best_effort",
    wait: Annotated[float, typer.Option(help="How long to wait for a listener, seconds")] = 60.0,
) -> None:
    """Publish until SIGINT or SIGTERM."""
    stop = threading.Event()
    use_profile()
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    camera = SoakCamera(reliability)
    deadline = time.monotonic() + wait
    while not camera.heard and not stop.is_set() and time.monotonic() < deadline:
        stop.wait(0.05)
    stop.wait(0.5)  # discovery is told to both sides, not at the same moment
    begin = time.monotonic()
    camera.run(rate, stop)
    told = {**camera.sent, "seconds": time.monotonic() - begin, "late_ms": math.ceil(1e3 * camera.late_s)}
    report.write_text(json.dumps(told), encoding="utf-8")
    camera.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    typer.run(main)
