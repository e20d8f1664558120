# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from lerf_ros.core.extent import Extent
from lerf_ros.core.geometry import matrix_from_quaternion
from lerf_ros.core.grasp import GraspCandidate
from lerf_ros.core.request import Instance, PromptAnswer, Status
from lerf_ros.msg import QueryResult
from lerf_ros.ros.outputs.answers import result_message
from lerf_ros.ros.outputs.clouds import cloud_arrays, cloud_fields, cloud_message
from lerf_ros.ros.poses.listeners import matrix_from_pose

POINTS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
COLOURS = np.array([[255, 128, 1], [0, 7, 250]], np.uint8)
RELEVANCY = np.array([0.25, 0.75], np.float32)
QUARTER = np.array([0, 0, math.sqrt(0.5), math.sqrt(0.5)])  # 90 degrees about z
T_TARGET_WORLD = np.array([[0, -1, 0, 10], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def test_cloud_layout_is_the_one_rviz_and_pcl_read() -> None:
    cloud = cloud_message(Header(frame_id="f"), POINTS, COLOURS, RELEVANCY)
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        ("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("rgb", 12, 7), ("relevancy", 16, 7),
    ]  # fmt: skip
    assert (cloud.width, cloud.height, cloud.point_step, cloud.row_step) == (2, 1, 20, 40)
    raw = bytes(cloud.data)
    assert raw[12:16] == bytes([1, 128, 255, 0]), "little endian 0x00rrggbb"
    np.testing.assert_array_equal(np.frombuffer(raw[20:32], "<f4"), POINTS[1])


def test_a_cloud_has_the_fields_it_was_given_values_for() -> None:
    scales = np.array([0.1, 0.2], np.float32)
    assert [f.name for f in cloud_message(Header(), POINTS, COLOURS).fields] == ["x", "y", "z", "rgb"]
    cloud = cloud_message(Header(), POINTS, COLOURS, RELEVANCY, scales)
    assert [(f.name, f.offset) for f in cloud.fields] == [
        ("x", 0), ("y", 4), ("z", 8), ("rgb", 12), ("relevancy", 16), ("scale", 20),
    ]  # fmt: skip
    assert (cloud.point_step, cloud.row_step, len(cloud.data)) == (24, 48, 48)
    fields = cloud_fields(cloud)
    np.testing.assert_array_equal(fields["y"], POINTS[:, 1])
    np.testing.assert_array_equal(fields["scale"], scales)
    np.testing.assert_array_equal(cloud_arrays(cloud)[1], COLOURS)
    assert [len(part) for part in cloud_arrays(PointCloud2())] == [0, 0, 0]


def test_cloud_round_trip() -> None:
    points, colours, relevancy = cloud_arrays(cloud_message(Header(), POINTS, COLOURS, RELEVANCY))
    np.testing.assert_array_equal(points, POINTS)
    np.testing.assert_array_equal(colours, COLOURS)
    np.testing.assert_array_equal(relevancy, RELEVANCY)
    assert len(cloud_arrays(cloud_message(Header(), POINTS[:0], COLOURS[:0], RELEVANCY[:0]))[0]) == 0


def test_everything_is_brought_to_the_target_frame() -> None:
    tcp = np.eye(4)
    tcp[:3, 3] = 1, 1, 1
    extent = Extent(np.array([1.0, 0, 0]), np.array([0.3, 0.2, 0.1]), QUARTER)
    answer = PromptAnswer(
        prompt="mug",
        status=Status.FOUND,
        probability=0.9,
        relevancy=0.7,
        scale_m=0.1,
        argmax_point=np.array([1, 2, 3], np.float32),
        extent=extent,
        points=POINTS,
        colours=COLOURS,
        point_relevancy=RELEVANCY,
        targets=(GraspCandidate(tcp, 0.05, 0.08, 0.4, 0.8, 0.5),),
        instances=(
            Instance(0.9, 0.7, 0.1, np.array([1, 2, 3], np.float32), extent),
            Instance(0.6, 0.65, 0.2, np.array([4, 5, 6], np.float32), Extent(np.zeros(3), np.ones(3), QUARTER)),
        ),
    )
    header = Header(frame_id="target")
    result = result_message(answer, header, T_TARGET_WORLD)
    assert (result.status, result.prompt) == (QueryResult.FOUND, "mug")
    assert (result.argmax.x, result.argmax.y, result.argmax.z) == (8.0, 1.0, 3.0)
    np.testing.assert_allclose(cloud_arrays(result.cloud)[0], [[8, 1, 3], [5, 4, 6]])
    box = matrix_from_pose(result.extent_pose)
    np.testing.assert_allclose(box[:3, 3], [10, 1, 0], atol=1e-12)
    np.testing.assert_allclose(box[:3, :3], matrix_from_quaternion(0.0, 0.0, 1.0, 0.0), atol=1e-12)
    assert (result.extent_size.x, result.extent_size.y, result.extent_size.z) == (0.3, 0.2, 0.1)
    first, second = result.instances
    assert first.argmax == result.argmax
    assert (first.extent_pose, first.extent_size) == (result.extent_pose, result.extent_size)
    assert (second.argmax.x, second.argmax.y, second.argmax.z) == (5.0, 4.0, 6.0)
    assert (second.extent_pose.position.x, second.extent_size.x) == (10.0, 1.0)
    assert (second.probability, second.relevancy, second.scale_m) == pytest.approx((0.6, 0.65, 0.2))
    target = result.targets[0]
    np.testing.assert_allclose(matrix_from_pose(target.pose)[:3, 3], [9, 1, 1], atol=1e-12)
    assert target.header.frame_id == result.cloud.header.frame_id == "target"
    assert (target.width_m, target.pregrasp_distance_m) == pytest.approx((0.05, 0.08))
    assert (target.score, target.semantic_score, target.geometric_score) == pytest.approx((0.4, 0.8, 0.5))


def test_an_answer_without_a_place_has_an_empty_cloud() -> None:
    result = result_message(PromptAnswer("x", Status.NOT_READY, "wait"), Header(), np.eye(4))
    assert (result.status, result.message, result.cloud.width, len(result.targets)) == (3, "wait", 0, 0)


def test_status_numbers_are_those_of_the_message() -> None:
    assert {s.name: s.value for s in Status} == {s.name: getattr(QueryResult, s.name) for s in Status}
