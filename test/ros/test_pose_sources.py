# SPDX-License-Identifier: Apache-2.0
"""Every way a pose can come, over real DDS: the floor it maps must lie at z = 0, where the camera looked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from analytic import Box, look_at, render
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from ros.lerf_client import DEPTH_M, INTRINSICS, LerfClient, floor, looking_down
from ros_processes import Program, lerf_node, wait_until
from tf2_msgs.msg import TFMessage
from tiny_clip_model import write_model

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.outputs.clouds import cloud_arrays
from lerf_ros.ros.poses.listeners import pose_from_matrix

pytestmark = pytest.mark.ros
SMALL = {
    "input.reliability": "reliable",
    "input.tf_timeout_s": 0.3,
    "input.stale_after_s": 0.5,
    "workspace.min_m": [-0.6, -0.6, -0.2],
    "workspace.max_m": [0.7, 0.6, 0.4],
    "field.levels": 4,
    "field.log2_table": 12,
    "field.language_log2_table": 10,
    "train.rays": 64,
    "train.language_rays": 64,
    "surface.min_views": 1,
    "query.min_keyframes": 1,
    "query.min_steps": 2,
    "query.found_probability": 0.0,
    "runtime.snapshot_period_s": 0.3,
    "runtime.idle_steps": 10,
    "runtime.status_period_s": 0.1,
}
MS = 1_000_000


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_model(tmp_path_factory.mktemp('encoder') / 'tiny')}"


@contextmanager
def running(log: Path, encoder: str, **parameters: object) -> Iterator[tuple[Program, LerfClient]]:
    client = LerfClient()
    try:
        with lerf_node(log, {**SMALL, "encoder.model": encoder, **parameters}) as program:
            try:
                client.wait_ready()
            except AssertionError as error:
                raise AssertionError(f"{error}\n{program.output}") from None
            yield program, client
    finally:
        client.destroy_node()


def stamped(message: TransformStamped, stamp_ns: int) -> TransformStamped:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def transform(parent: str, child: str, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.transform.translation.x, message.transform.translation.y, message.transform.translation.z = x, y, z
    message.transform.rotation.w = 1.0
    return message


def send_images(
    client: LerfClient, camera: str, x: float, y: float, stamp_ns: int, rgb: np.ndarray | None = None
) -> None:
    """Publish what a camera 0.6 m above the floor sees; nothing of its pose."""
    colours = floor(x, y) if rgb is None else rgb
    client.info.publish(info_from_intrinsics(INTRINSICS, camera, stamp_ns))
    client.depth.publish(image_from_depth(np.full((48, 64), DEPTH_M, np.float32), camera, stamp_ns))
    client.image.publish(image_from_rgb(colours, camera, stamp_ns))


def warned(client: LerfClient, name: str) -> bool:
    return any(text.startswith(f"{name}:") for text in client.next_status().warnings)


def keyframe(client: LerfClient, send: Callable[[], None]) -> None:
    """Send a frame until it has become a keyframe: subscriptions to its poses may be younger than the others."""
    before = client.next_status().keyframes

    def sent() -> bool:
        send()
        return any(client.next_status().keyframes > before for _ in range(5))

    try:
        wait_until(sent, "a keyframe")
    except AssertionError as error:
        raise AssertionError(f"{error}; dropped {client.drops()}, warnings {client.status.warnings}") from None


def mapped_floor(client: LerfClient) -> np.ndarray:
    """Return the points of an answer, which must lie on the floor."""
    def answered() -> bool:
        return len(client.ask(prompts=["red mug"]).results[0].cloud.data) > 0 and at_rest()

    def at_rest() -> bool:
        status = client.next_status()
        return status.step >= 10 and status.step == status.snapshot_step

    wait_until(answered, "an answer")
    points, _, _ = cloud_arrays(client.ask(prompts=["red mug"]).results[0].cloud)
    assert np.abs(points[:, 2]).max() < 0.01, "the floor is at z = 0"
    return points


def test_eye_in_hand_and_eye_to_hand_just_work_and_faults_of_theirs_are_named(ros: Path, encoder: str) -> None:
    with running(ros / "tf.log", encoder) as (_, client):
        # A wrist that moves, with a camera mounted on it 10 cm before its axis, looking down.
        mount = looking_down(0.1, 0.0)
        mount.header.frame_id, mount.child_frame_id, mount.transform.translation.z = "wrist", "hand_optical_frame", 0.2
        fixed = looking_down(0.4, 0.0)
        fixed.child_frame_id = "fixed_optical_frame"
        client.tf_static.publish(TFMessage(transforms=[mount, fixed]))

        def wrist(x: float, stamp_ns: int) -> TransformStamped:
            return stamped(transform("base_link", "wrist", x, 0.0, 0.4), stamp_ns)

        def eye_in_hand() -> None:
            now = client.now_ns()
            client.tf.publish(TFMessage(transforms=[wrist(-0.3, now - 20 * MS)]))
            send_images(client, "hand_optical_frame", -0.15, 0.0, now)  # between two transforms: -0.25 + 0.1
            client.tf.publish(TFMessage(transforms=[wrist(-0.2, now + 20 * MS)]))

        keyframe(client, eye_in_hand)
        hand = mapped_floor(client)
        assert -0.49 < hand[:, 0].min() < -0.42, "32 cm to the left of x = -0.15"
        keyframe(client, lambda: send_images(client, "fixed_optical_frame", 0.4, 0.0, client.now_ns()))
        wait_until(lambda: mapped_floor(client)[:, 0].max() > 0.55, "what only the fixed camera sees")
        faults(client, wrist)


def faults(client: LerfClient, wrist: Callable[[float, int], TransformStamped]) -> None:
    """The arm leaps; its joint states hang; its transforms end. Each is named, and the node goes on."""
    assert not warned(client, "pose_jump")
    begin = client.now_ns()
    for n, x in enumerate((0.0, 0.0, 0.5)):
        client.tf.publish(TFMessage(transforms=[wrist(x, begin + 30 * MS * n)]))
        send_images(client, "hand_optical_frame", x + 0.1, 0.0, begin + 30 * MS * n)
    wait_until(lambda: warned(client, "pose_jump"), "pose_jump")
    assert not warned(client, "stale_joints")
    assert not warned(client, "transforms_stopped")
    random = np.random.default_rng(0)

    def hang() -> bool:
        now = client.now_ns()
        client.tf.publish(TFMessage(transforms=[wrist(0.1, now)]))
        picture = np.repeat(np.repeat(random.integers(0, 255, (6, 8, 3)).astype(np.uint8), 8, 0), 8, 1)
        send_images(client, "hand_optical_frame", 0.2, 0.0, now, picture)
        return warned(client, "stale_joints")

    wait_until(hang, "stale_joints")

    def end() -> bool:
        send_images(client, "hand_optical_frame", 0.2, 0.0, client.now_ns())
        return warned(client, "transforms_stopped")

    wait_until(end, "transforms_stopped")
    assert client.drops()["tf_extrapolation"] >= 1


def test_poses_of_the_camera_in_the_world_or_through_a_frame_that_is_known(ros: Path, encoder: str) -> None:
    with running(ros / "pose.log", encoder, **{"input.pose_source": "pose"}) as (_, client):
        publisher = client.create_publisher(PoseStamped, "pose", QoSProfile(depth=20))

        def send(frame: str, x: float, seen_x: float) -> None:
            now = client.now_ns()
            message = PoseStamped()
            message.header.frame_id = frame
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
            message.pose.position.x, message.pose.position.z, message.pose.orientation.x = x, DEPTH_M, 1.0
            message.pose.orientation.w = 0.0
            publisher.publish(message)
            send_images(client, "camera_optical_frame", seen_x, 0.0, now)

        keyframe(client, lambda: send("base_link", -0.15, -0.15))
        assert mapped_floor(client)[:, 0].max() < 0.25

        def refused() -> bool:
            send("tracker", 0.0, 0.3)
            return client.drops().get("pose_frame", 0) > 0

        wait_until(lambda: client.next_status() is not None and refused(), "a refusal of an unknown frame")
        client.tf_static.publish(TFMessage(transforms=[transform("base_link", "tracker", x=0.3)]))

        def seen() -> bool:
            send("tracker", 0.0, 0.3)
            return bool(mapped_floor(client)[:, 0].max() > 0.5)

        wait_until(seen, "what is seen from x = 0.3")


def test_odometry_of_the_body_that_carries_the_camera(ros: Path, encoder: str) -> None:
    with running(ros / "odometry.log", encoder, **{"input.pose_source": "odometry"}) as (_, client):
        publisher = client.create_publisher(Odometry, "odometry", QoSProfile(depth=20))
        mount = looking_down(0.2, 0.0)
        mount.header.frame_id, mount.child_frame_id, mount.transform.translation.z = "body", "camera_optical_frame", 0.5
        client.tf_static.publish(TFMessage(transforms=[mount, transform("base_link", "odom", z=0.1)]))

        def send(x: float, variance: float = 0.0) -> None:
            now = client.now_ns()
            for stamp_ns, at in ((now - 15 * MS, x - 0.1), (now + 15 * MS, x + 0.1)):
                message = Odometry(child_frame_id="body")
                message.header.frame_id = "odom"
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
                message.pose.pose.position.x = at
                message.pose.covariance[0] = variance
                publisher.publish(message)
            send_images(client, "camera_optical_frame", x + 0.2, 0.0, now)

        keyframe(client, lambda: send(0.1))
        points = mapped_floor(client)
        assert points[:, 0].max() > 0.5
        assert -0.05 < points[:, 0].min() < 0.03, "32 cm to the left of x = 0.3"
        assert not warned(client, "odometry_uncertain")

        def unsure() -> bool:
            send(0.1, variance=0.01)
            return warned(client, "odometry_uncertain")

        wait_until(unsure, "odometry that says it is 10 cm uncertain")


def test_a_mounting_error_is_reported_and_never_applied(ros: Path, encoder: str) -> None:
    """The camera is said to sit 3 cm too high and is turned by 2 degrees; on a table with a box that shows."""
    camera = Intrinsics(128, 96, 110.0, 110.0, 63.5, 47.5)
    error = np.eye(4)
    angle = np.radians(2)
    error[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    error[:3, 3] = 0.01, -0.005, 0.012
    received: list[PoseWithCovarianceStamped] = []
    parameters = {
        "input.pose_source": "pose",
        "input.drift_period_s": 0.5,
        "input.report_correction": True,
        "input.max_speed_mps": 0.0,
    }
    with running(ros / "drift.log", encoder, **parameters) as (_, client):
        publisher = client.create_publisher(PoseStamped, "pose", QoSProfile(depth=20))
        client.create_subscription(PoseWithCovarianceStamped, "/lerf/camera_correction", received.append, 10)
        random = np.random.default_rng(3)
        for _ in range(12):
            turn, up = random.uniform(0, 2 * np.pi), random.uniform(0.6, 1.4)
            eye = 0.5 * np.array([np.cos(turn) * np.cos(up), np.sin(turn) * np.cos(up), np.sin(up)])
            T_true = look_at(tuple(eye), tuple(random.uniform(-0.05, 0.05, 3)))
            image = render((Box((0.0, 0.0, 0.05), (0.2, 0.12, 0.1), 0.4),), T_true, camera=camera)

            T_stated = T_true @ np.linalg.inv(error)

            def send(image: PosedImage = image, T: np.ndarray = T_stated) -> None:
                now = client.now_ns()
                message = PoseStamped(pose=pose_from_matrix(T))
                message.header.frame_id = "base_link"
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
                publisher.publish(message)
                client.info.publish(info_from_intrinsics(camera, "camera_optical_frame", now))
                client.depth.publish(image_from_depth(image.depth_m, "camera_optical_frame", now))
                client.image.publish(image_from_rgb(image.rgb, "camera_optical_frame", now))

            keyframe(client, send)
        wait_until(lambda: warned(client, "mounting_error"), "the warning", 30)
        wait_until(lambda: client.next_status() is not None and len(received) > 0, "the correction")
        sent = received[-1]
        assert sent.header.frame_id == "camera_optical_frame"
        covariance = np.array(sent.pose.covariance).reshape(6, 6)
        np.testing.assert_allclose(covariance, covariance.T)
        p, q = sent.pose.pose.position, sent.pose.pose.orientation
        assert np.linalg.norm(np.array([p.x, p.y, p.z]) - error[:3, 3]) < 0.004
        assert 2 * np.arcsin(q.z) == pytest.approx(angle, abs=np.radians(0.4))
