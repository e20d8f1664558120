# SPDX-License-Identifier: Apache-2.0
import numpy as np
from analytic import Sphere, look_at, render, ring

from lerf_ros.core.agreement import DepthView, confirmations

BALL = Sphere((0.0, 0.0, 0.05), 0.05)


def seen(pose: np.ndarray) -> DepthView:
    image = render([BALL], pose)
    camera = image.intrinsics.scaled(80, 60)
    image = render([BALL], pose, camera=camera)
    assert image.depth_m is not None
    return DepthView(image.depth_m, camera, pose)


def test_exact_depth_is_confirmed_by_every_camera_that_sees_it() -> None:
    views = [seen(pose) for pose in ring(8)]
    counts = confirmations(views)
    row, column = 30, 40  # the middle looks at the ball's top half, which the neighbours on both sides see as well
    assert all(count[row, column] >= 3 for count in counts)
    assert np.median(counts[0][20:50, 10:70]) == 8  # the plane around the ball


def test_haze_before_one_camera_is_confirmed_by_itself_alone() -> None:
    views = [seen(pose) for pose in ring(8)]
    views[0].depth_m[10:30, 10:30] = 0.2
    count = confirmations(views)[0]
    assert count[10:30, 10:30].max() == 1


def test_what_another_view_may_just_hide_is_not_contradicted() -> None:
    # Of three cameras in a row 0.6 m above a plane the middle one finds something 0.2 m before it, or 0.03 m.
    poses = [look_at((x, 0.0, 0.6), (x, 0.001, 0.0)) for x in (-0.2, 0.0, 0.2)]
    for depth, count in ((0.4, 1), (0.57, 0)):
        views = [seen(pose) for pose in poses]
        for view in views[1:]:
            view.depth_m[:] = depth
        assert confirmations(views)[0][10, 60] == count


def test_unknown_depth_confirms_nothing_and_is_not_confirmed() -> None:
    views = [seen(pose) for pose in ring(4)]
    views[1].depth_m[:] = 0
    counts = confirmations(views)
    assert not counts[1].any()
    assert counts[0].max() == 3


def test_a_camera_beside_the_first_proves_nothing() -> None:
    # 0.6 m above a plane, 10 degrees are 0.106 m.
    first = look_at((0.0, 0.0, 0.6), (0.0, 0.001, 0.0))
    for step, count in ((0.05, 1), (0.2, 2)):
        second = first.copy()
        second[0, 3] += step
        assert confirmations([seen(first), seen(second)])[0][10, 40] == count


def test_no_views_give_no_counts() -> None:
    assert confirmations([]) == []
