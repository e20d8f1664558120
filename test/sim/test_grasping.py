# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from sim.conftest import SingleScene

from lerf_ros.sim.arm import Arm, Segment, home_program, minimum_jerk
from lerf_ros.sim.grasping import flipped, grasp_program
from lerf_ros.sim.kinematics import top_down
from lerf_ros.sim.scene import HOME_JOINTS_RAD, Scene
from lerf_ros.sim.truth import object_poses

#: category -> grasp height, angle of the closing axis against the object's own y axis
GRASPS = {
    "box": (0.05, math.pi / 2),
    "can": (0.07, 0.0),
    "ball": (0.03, 0.0),
    "bottle": (0.10, 0.0),
    "apple": (0.035, 0.0),
    "duck": (0.03, 0.0),
}


@pytest.mark.parametrize("category", GRASPS)
@pytest.mark.parametrize(("x", "y", "yaw"), [(0.35, -0.15, 0.4), (0.55, 0.2, -2.0)])
def test_what_is_grasped_is_lifted_and_held(
    single: SingleScene, category: str, x: float, y: float, yaw: float
) -> None:
    scene = single(category, (x, y), yaw)
    height, turn = GRASPS[category]
    pose = object_poses(scene)["thing"]
    at = np.array([pose[0, 3], pose[1, 3], height])
    arm = Arm(scene)
    before = float(pose[2, 3])
    outcome = arm.run(grasp_program(arm, top_down(at, math.atan2(pose[1, 0], pose[0, 0]) + turn), hold_s=2.0))
    assert outcome.success, outcome.message
    assert outcome.held_opening_m > 0.04
    assert object_poses(scene)["thing"][2, 3] - before > 0.11


def test_closing_on_nothing_is_told_and_the_arm_goes_home(single: SingleScene) -> None:
    scene = single("ball", (0.55, 0.2))
    arm = Arm(scene)
    outcome = arm.run(grasp_program(arm, top_down(np.array([0.35, -0.1, 0.04]), 0.0)))
    assert not outcome.success
    assert "closed on nothing" in outcome.message
    assert outcome.held_opening_m < 0.002
    np.testing.assert_allclose(arm.joints(), HOME_JOINTS_RAD, atol=0.02)


def test_out_of_reach_is_refused_without_moving(bare: Scene) -> None:
    arm = Arm(bare)
    before = arm.joints()
    outcome = arm.run(grasp_program(arm, top_down(np.array([1.1, 0.0, 0.05]), 0.0)))
    assert not outcome.success
    assert "out of the arm's reach" in outcome.message
    np.testing.assert_array_equal(arm.joints(), before)


def test_exchanged_fingers_keep_the_approach_and_reverse_the_closing_axis() -> None:
    pose = top_down(np.array([0.4, 0.0, 0.1]), 0.3)
    other = flipped(pose)
    np.testing.assert_allclose(other[:3, 2], pose[:3, 2])
    np.testing.assert_allclose(other[:3, 1], -pose[:3, 1])
    np.testing.assert_allclose(other[:3, 3], pose[:3, 3])


def test_the_profile_starts_and_ends_at_rest() -> None:
    assert (minimum_jerk(0.0), minimum_jerk(0.5), minimum_jerk(1.0), minimum_jerk(2.0)) == (0.0, 0.5, 1.0, 1.0)
    assert minimum_jerk(0.01) < 1e-5


def test_a_second_program_is_refused_and_a_cancelled_one_ends(bare: Scene) -> None:
    arm = Arm(bare)
    arm.start(home_program())
    with pytest.raises(RuntimeError, match="already moving"):
        arm.start(home_program())
    arm.cancel("stopped by the test")
    assert not arm.busy
    assert arm.outcome is not None
    assert arm.outcome.message == "stopped by the test"
    assert Segment().joints_rad is None
