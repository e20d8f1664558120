# SPDX-License-Identifier: Apache-2.0
"""A camera that circles over a small scene and publishes frames, with faults; for tests of the node as a process."""

from collections.abc import Callable

import numpy as np
from analytic import Box, Sphere, look_at, render
from geometry_msgs.msg import TransformStamped
from ros.lerf_client import CAMERA, INTRINSICS, LerfClient
from ros_processes import wait_until
from tf2_msgs.msg import TFMessage

from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.poses.listeners import pose_from_matrix

ARM = Box((0.1, 0.0, 0.15), (0.2, 0.06, 0.06), 0.0, (200, 190, 150))
SCENE = (Box((-0.1, 0.1, 0.06), (0.1, 0.15, 0.12), 0.4, (190, 140, 90)), Sphere((-0.1, -0.1, 0.05), 0.05), ARM)
SMALL = {
    "input.reliability": "reliable", "input.tf_timeout_s": 0.2, "workspace.min_m": [-0.6, -0.6, -0.2],
    "workspace.max_m": [0.6, 0.6, 0.4], "field.levels": 4, "field.log2_table": 12, "field.language_log2_table": 10,
    "train.rays": 64, "train.language_rays": 64, "surface.min_views": 1, "runtime.snapshot_period_s": 0.3,
    "runtime.idle_steps": 40, "runtime.status_period_s": 0.1, "outputs.period_s": 0.0,
}  # fmt: skip
"""A small map and a fast status."""


def transform(parent: str, child: str, T_parent_child: np.ndarray, stamp_ns: int) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    pose, t = pose_from_matrix(T_parent_child), message.transform.translation
    t.x, t.y, t.z = pose.position.x, pose.position.y, pose.position.z
    message.transform.rotation = pose.orientation
    return message


class Camera:
    """Circles over a scene on a wooden table, frame by frame."""

    def __init__(self, client: LerfClient) -> None:
        self.client = client
        self._seen = 0
        self._rng = np.random.default_rng(0)

    def view(self) -> PosedImage:
        self._seen += 1
        a = 0.12 * self._seen
        pose = look_at((0.5 * np.cos(a), 0.5 * np.sin(a), 0.45 + 0.05 * np.sin(1.7 * a)), (0.0, 0.0, 0.03))
        return render(SCENE, pose, 0, INTRINSICS)

    def send(
        self, *, turned: np.ndarray | None = None, rgb: np.ndarray | None = None, swapped: bool = False,
        integers_of_metres: bool = False, late_s: float = 0.0, unstamped: bool = False,
        size: tuple[int, int] = (48, 64),
    ) -> None:  # fmt: skip
        """Publish the next frame, with a fault."""
        view = self.view()
        assert view.depth_m is not None
        stamp_ns = 0 if unstamped else self.client.now_ns() - int(late_s * 1e9)
        T = view.T_world_cam.copy()
        T[:3, :3] = T[:3, :3] @ (np.eye(3) if turned is None else turned)
        taken_ns = stamp_ns or self.client.now_ns()
        self.client.tf.publish(TFMessage(transforms=[transform("base_link", CAMERA, T, taken_ns)]))
        wood = np.clip(view.rgb + np.array([60, 20, -30]) + self._rng.integers(-3, 4, view.rgb.shape), 0, 255)
        colours = (wood[..., ::-1] if swapped else wood).astype(np.uint8) if rgb is None else rgb
        depth = np.where(view.depth_m < 4, view.depth_m, np.float32(0))
        self.client.info.publish(info_from_intrinsics(INTRINSICS, CAMERA, stamp_ns))
        self.client.depth.publish(image_from_depth(depth / (1000 if integers_of_metres else 1), CAMERA, stamp_ns))
        self.client.image.publish(image_from_rgb(np.resize(colours, (*size, 3)), CAMERA, stamp_ns))

    def until(self, condition: Callable[[set[str]], bool], what: str, **fault: object) -> None:
        """Send frames with a fault until the node's warnings fulfil a condition."""

        def sent() -> bool:
            self.send(**fault)
            self.client.next_status()
            return condition({w.split(":")[0] for w in self.client.status.warnings})

        try:
            wait_until(sent, what, 40)
        except AssertionError as error:
            raise AssertionError(f"{error}; warnings {self.client.status.warnings}, {self.client.drops()}") from None
