# SPDX-License-Identifier: Apache-2.0
"""A fixed camera watches the arm move: with the self-filter no point of the map lies on the arm, without it many do."""

import numpy as np
import pytest
from arm_truth import mujoco_distance
from geometry_msgs.msg import TransformStamped

from lerf_ros.config import Config, from_flat
from lerf_ros.core.geometry import Intrinsics, look_at
from lerf_ros.core.surface import SurfaceBuilder
from lerf_ros.ros.cameras.images import image_from_depth, image_from_rgb
from lerf_ros.ros.cameras.ingest import Frame, Ingest, nanoseconds
from lerf_ros.ros.cameras.models import info_from_intrinsics
from lerf_ros.ros.poses.camera_poses import CameraPoses
from lerf_ros.ros.poses.tf_buffer import TfBuffer
from lerf_ros.ros.selfcheck.check import SelfCheck
from lerf_ros.ros.settings import Settings
from lerf_ros.sim import arm_model, messages
from lerf_ros.sim.camera import SceneRenderer
from lerf_ros.sim.scene import HOME_JOINTS_RAD, Scene, build
from lerf_ros.sim.simulation import _sample
from lerf_ros.sim.spec import sample_spec
from lerf_ros.sim.urdf import robot_description

CAMERA = "watching_optical_frame"
VIEW = look_at(np.array([1.25, 0.55, 0.75]), np.array([0.35, 0.0, 0.2]))
MOVES = ((0.0, 0.0, 0.0), (0.5, 0.3, -0.3), (-0.6, 0.1, 0.2), (1.0, -0.2, 0.4))
"""Of the first three joints from home, radians."""

ON_ARM_M = 0.003


def config(self_filter: str) -> Config:
    return from_flat({
        "input.self_filter": self_filter, "input.tf_timeout_s": 0.0, "input.max_age_s": 0.0,
        "workspace.min_m": (-0.4, -0.8, -0.05), "workspace.max_m": (1.2, 0.8, 1.2), "surface.voxel_m": 0.006,
    })  # fmt: skip


def move(scene: Scene, by: tuple[float, float, float], opening_m: float) -> None:
    for joint, angle in zip(arm_model.JOINTS, np.add(HOME_JOINTS_RAD, (*by, 0.3, 0.2, 0.5)), strict=True):
        scene.data.joint(joint).qpos[0] = angle
    for finger in arm_model.FINGERS:
        scene.data.joint(finger).qpos[0] = opening_m / 2
    scene.forward()


def frame(renderer: SceneRenderer, stamp_ns: int) -> Frame:
    seen = renderer.render_from(VIEW, depth=True)
    k = seen.intrinsics
    pinhole = Intrinsics(k.width, k.height, k.f_px, k.f_px, k.cx_px, k.cy_px)
    assert seen.depth_m is not None
    return Frame(
        image_from_rgb(seen.rgb, CAMERA, stamp_ns),
        info_from_intrinsics(pinhole, CAMERA, stamp_ns),
        image_from_depth(seen.depth_m, CAMERA, stamp_ns),
    )


def record(buffer: TfBuffer, sent: TransformStamped) -> None:
    t, q = sent.transform.translation, sent.transform.rotation
    stamp_ns = nanoseconds(sent.header.stamp)
    buffer.record(sent.header.frame_id, sent.child_frame_id, stamp_ns, (t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


@pytest.fixture(scope="module")
def points_on_arm() -> dict[str, tuple[int, int]]:
    """For the filter on and off: points of the map, and those of them on the arm where it was at any image."""
    scene = build(sample_spec(3, n_objects=5))
    buffer = TfBuffer()
    ingests = {}
    surfaces = {}
    for mode in ("urdf", "none"):
        settings = Settings(config(mode))
        ingests[mode] = Ingest(settings.now.input, CameraPoses(settings, buffer), lambda: 10**10, SelfCheck())
        ingests[mode].robot.descriptions.add(robot_description())
        surfaces[mode] = SurfaceBuilder(settings.now.surface, settings.now.workspace)
    record(buffer, messages.transform("base_link", CAMERA, VIEW, 10**9))
    with SceneRenderer(scene) as renderer:
        for k, by in enumerate(MOVES):
            stamp_ns = (k + 1) * 10**9
            move(scene, by, opening_m=0.02 * k)
            state = _sample(scene)
            record(buffer, messages.transform("base_link", CAMERA, VIEW, stamp_ns))
            for sent in messages.link_transforms(state, stamp_ns) + messages.finger_transforms(state, stamp_ns):
                record(buffer, sent)
            seen = frame(renderer, stamp_ns)
            for mode, ingest in ingests.items():
                image = ingest(seen)
                assert image.depth_m is not None
                surfaces[mode].add(image, image.depth_m)
    found = {mode: surfaces[mode].build().points for mode in surfaces}
    on_arm = dict.fromkeys(found, 0)
    for k, by in enumerate(MOVES):
        move(scene, by, opening_m=0.02 * k)
        for mode, points in found.items():
            on_arm[mode] += count_on_arm(scene, points)
    return {mode: (len(found[mode]), on_arm[mode]) for mode in found}


def count_on_arm(scene: Scene, points: np.ndarray) -> int:
    bodies = ("arm_base", *arm_model.LINKS, "finger_left", "finger_right")
    distance = np.min([mujoco_distance(scene, body, points.astype(float)) for body in bodies], axis=0)
    return int((distance < ON_ARM_M).sum())


def test_without_the_filter_the_arm_is_mapped(points_on_arm: dict[str, tuple[int, int]]) -> None:
    total, on_arm = points_on_arm["none"]
    assert total > 5000
    assert on_arm > 1000


def test_with_the_filter_no_point_lies_on_the_arm_and_the_rest_stays(points_on_arm: dict[str, tuple[int, int]]) -> None:
    total, on_arm = points_on_arm["urdf"]
    assert on_arm == 0
    assert total > 0.6 * (points_on_arm["none"][0] - points_on_arm["none"][1])
