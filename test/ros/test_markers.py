# SPDX-License-Identifier: Apache-2.0
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from known_scene import AXES, BALL, CONFIG, KnownEncoder, snapshot_of
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.standing import answers
from lerf_ros.msg import GraspTarget, Instance, QueryResult
from lerf_ros.ros.outputs.answers import result_message
from lerf_ros.ros.outputs.markers import clear, marker_array
from lerf_ros.ros.outputs.wires import BOX_EDGES, box_corners, box_triangles, frustum_lines
from lerf_ros.ros.poses.listeners import matrix_from_pose

FLIPPED = Quaternion(x=1.0, y=0.0, z=0.0, w=0.0)  # z points down


@pytest.fixture(scope="module")
def snapshot() -> FieldSnapshot:
    made = snapshot_of((BALL,), (AXES["ball"],))
    pose = np.eye(4)
    pose[:3, 3] = 1, 2, 3
    weights = {
        "keyframes.T_world_cam": np.stack([np.eye(4), pose]),
        "keyframes.intrinsics": np.tile([100.0, 100.0, 49.5, 39.5, 100.0, 80.0], (2, 1)),
    }
    return replace(made, weights=weights)


def found(prompt: str, status: int = QueryResult.FOUND, instances: int = 1) -> QueryResult:
    box = Instance(extent_pose=Pose(position=Point(x=0.5, y=0.1, z=0.2)), extent_size=Vector3(x=0.1, y=0.05, z=0.08))
    target = GraspTarget(pose=Pose(position=Point(z=0.3), orientation=FLIPPED), width_m=0.06, pregrasp_distance_m=0.1)
    return QueryResult(
        prompt=prompt, status=status, probability=0.934, extent_pose=box.extent_pose, extent_size=box.extent_size,
        instances=[box] * instances, targets=[target],
    )  # fmt: skip


def drawn(snapshot: FieldSnapshot, *results: QueryResult) -> MarkerArray:
    return marker_array(snapshot, results, CONFIG.workspace, CONFIG.grasp)


def by_name(array: MarkerArray, namespace: str) -> list[Marker]:
    return [m for m in array.markers if m.ns == namespace]


def xyz(points: list[Point]) -> np.ndarray:
    return np.array([(p.x, p.y, p.z) for p in points])


def test_all_begin_anew_in_the_world_for_good_each_under_a_name_of_its_own(snapshot: FieldSnapshot) -> None:
    array = drawn(snapshot, found("mug"), found("cup", QueryResult.AMBIGUOUS, instances=2))
    first, *rest = array.markers
    assert first.action == Marker.DELETEALL
    assert all(m.action == Marker.ADD for m in rest)
    assert {m.header.frame_id for m in array.markers} == {"base_link"}
    assert {(m.header.stamp.sec, m.lifetime.sec, m.lifetime.nanosec) for m in array.markers} == {(0, 0, 0)}
    assert max(Counter((m.ns, m.id) for m in rest).values()) == 1
    assert {m.ns for m in rest} == {"workspace", "keyframes", "extents", "labels", "targets", "grippers"}
    assert [m.action for m in clear("base_link").markers] == [Marker.DELETEALL]


def test_targets_and_extents_have_the_poses_of_the_answer(snapshot: FieldSnapshot) -> None:
    (answer,) = answers(snapshot, ("ball",), KnownEncoder(), CONFIG, 0)
    result = result_message(answer, Header(frame_id="base_link"), np.eye(4))
    array = drawn(snapshot, result)
    assert len(result.targets) > 1
    assert [m.pose for m in by_name(array, "targets")] == [t.pose for t in result.targets]
    assert [m.pose for m in by_name(array, "grippers")] == [t.pose for t in result.targets]
    (box,) = by_name(array, "extents")
    assert (box.pose, box.scale) == (result.extent_pose, result.extent_size)


def test_an_arrow_leads_along_the_approach_to_between_the_fingers(snapshot: FieldSnapshot) -> None:
    array = drawn(snapshot, found("mug"))
    (arrow,) = by_name(array, "targets")
    pose = matrix_from_pose(arrow.pose)
    ends = xyz(arrow.points) @ pose[:3, :3].T + pose[:3, 3]
    np.testing.assert_allclose(ends, [[0, 0, 0.4], [0, 0, 0.3]], atol=1e-9)  # from above, down
    (hand,) = by_name(array, "grippers")
    assert hand.type == Marker.TRIANGLE_LIST
    corners = xyz(hand.points)
    fingers = corners[corners[:, 2] > CONFIG.grasp.tip_beyond_tcp_m - 1e-9]
    assert np.abs(fingers[:, 1]).min() == pytest.approx(0.03), "half the opening"
    assert corners[:, 2].max() == pytest.approx(CONFIG.grasp.tip_beyond_tcp_m)


def test_a_label_tells_phrase_probability_and_what_else_there_is_to_know(snapshot: FieldSnapshot) -> None:
    array = drawn(
        snapshot, found("mug"), found("cup", QueryResult.AMBIGUOUS, 3), found("pot", QueryResult.STALE),
        found("whale", QueryResult.NOT_FOUND),
    )  # fmt: skip
    labels = by_name(array, "labels")
    assert [m.text for m in labels] == ["mug 0.93", "cup 0.93, 1 of 3", "pot 0.93, STALE"]
    assert labels[0].pose.position.z == pytest.approx(0.2 + 0.04 + 0.03), "above the box"
    assert len(by_name(array, "extents")) == 1 + 3 + 1
    assert len({(m.color.r, m.color.g, m.color.b) for m in labels}) == 3


def test_frusta_stand_where_keyframes_were_taken(snapshot: FieldSnapshot) -> None:
    (lines,) = by_name(drawn(snapshot), "keyframes")
    points = xyz(lines.points)
    assert points.shape == (2 * 16, 3)
    np.testing.assert_allclose(points[0], [0, 0, 0])
    np.testing.assert_allclose(points[16], [1, 2, 3])
    # the corners of 100 x 80 pixels at a focal length of 100 pixels, 5 cm in front
    np.testing.assert_allclose(points[:16].min(axis=0), [-0.025, -0.02, 0])
    np.testing.assert_allclose(points[:16].max(axis=0), [0.025, 0.02, 0.05])
    np.testing.assert_allclose(points[16:], points[:16] + np.array([1, 2, 3]))


def test_stale_surface_is_marked_point_by_point(snapshot: FieldSnapshot) -> None:
    assert not by_name(drawn(snapshot), "stale")
    since = np.zeros(len(snapshot.surface), np.int64)
    since[[3, 7]] = 5
    changed = replace(snapshot, surface=replace(snapshot.surface, stale_since_ns=since))
    (cubes,) = by_name(drawn(changed), "stale")
    np.testing.assert_allclose(xyz(cubes.points), snapshot.surface.points[[3, 7]], atol=1e-6)
    assert cubes.scale.x == pytest.approx(1.5 * snapshot.surface.voxel_m)


def test_the_workspace_is_drawn_as_its_edges(snapshot: FieldSnapshot) -> None:
    (box,) = by_name(drawn(snapshot), "workspace")
    ends = xyz(box.points).reshape(12, 2, 3)
    np.testing.assert_allclose(ends.min(axis=(0, 1)), CONFIG.workspace.min_m)
    np.testing.assert_allclose(ends.max(axis=(0, 1)), CONFIG.workspace.max_m)
    assert ((ends[:, 0] != ends[:, 1]).sum(axis=1) == 1).all(), "each along one axis"


def test_boxes_and_frusta_close() -> None:
    corners = box_corners((0, 0, 0), (1, 2, 3))
    lengths = np.linalg.norm(np.diff(corners[BOX_EDGES], axis=1), axis=-1).ravel()
    assert sorted(lengths) == [1] * 4 + [2] * 4 + [3] * 4
    triangles = box_triangles((0, 0, 0), (1, 2, 3)).reshape(12, 3, 3)
    areas = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1) / 2
    assert areas.sum() == pytest.approx(2 * (2 + 3 + 6))
    from lerf_ros.core.geometry import Intrinsics

    ends = frustum_lines(Intrinsics(10, 10, 5.0, 5.0, 4.5, 4.5), np.eye(4), 1.0).reshape(8, 2, 3)
    assert max(Counter(map(tuple, ends.reshape(-1, 3).round(6))).values()) == 4, "four rays leave the centre"
