# SPDX-License-Identifier: Apache-2.0
import numpy as np

from lerf_ros.sim.arm import MAX_SPEED_RAD_S, Arm
from lerf_ros.sim.camera import SceneRenderer
from lerf_ros.sim.kinematics import Kinematics
from lerf_ros.sim.scan import VIEWPOINTS, scan_joints, scan_program
from lerf_ros.sim.scene import HOME_JOINTS_RAD, Scene


def test_the_viewpoints_cover_a_hemisphere_from_overview_to_close() -> None:
    assert 24 <= len(VIEWPOINTS) <= 32
    assert all(v.distance_m > 0.6 and v.elevation_deg > 65 for v in VIEWPOINTS[:2])
    assert all(0.40 <= v.distance_m <= 0.70 for v in VIEWPOINTS)
    assert all(30 <= v.elevation_deg <= 80 for v in VIEWPOINTS)
    assert len({round(v.azimuth_deg / 30) for v in VIEWPOINTS}) >= 6


def test_the_arm_is_never_in_the_wrist_camera_s_image(bare: Scene) -> None:
    before = np.array(HOME_JOINTS_RAD)
    with SceneRenderer(bare, 160, 120) as renderer:
        for joints in scan_joints(Kinematics(bare)):
            for share in (0.33, 0.67, 1.0):
                bare.data.qpos[:6] = before + share * (joints - before)
                bare.forward()
                frame = renderer.render("wrist", segmentation=True)
                assert frame.geom_id is not None
                assert not (bare.geom_object[frame.geom_id] == Scene.ARM).any()
            before = joints


def test_the_scan_takes_about_35_seconds_smoothly_above_the_objects(bare: Scene) -> None:
    arm = Arm(bare)
    arrived: list[int] = []
    lowest, fastest = 1.0, 0.0
    arm.start(scan_program(arm, arrived.append))
    import mujoco

    while arm.busy:
        arm.step()
        mujoco.mj_step(bare.model, bare.data)
        lowest = min(lowest, float(bare.data.site("tcp").xpos[2]))
        fastest = max(fastest, float(np.abs(bare.data.qvel[:6]).max()))
    assert arm.outcome is not None
    assert arm.outcome.success
    assert arrived == list(range(len(VIEWPOINTS)))
    assert 25 < bare.data.time < 45
    assert lowest > 0.2
    assert fastest < 1.15 * MAX_SPEED_RAD_S
    np.testing.assert_allclose(arm.joints(), HOME_JOINTS_RAD, atol=0.01)
