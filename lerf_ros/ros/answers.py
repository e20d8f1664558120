# SPDX-License-Identifier: Apache-2.0
"""Answers of the core to messages, in the frame they were asked for in."""

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point
from jaxtyping import Float, Float32, Float64, UInt8
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from lerf_ros.core.geometry import pose_matrix, transform_points
from lerf_ros.core.grasp import GraspCandidate
from lerf_ros.core.query import PromptAnswer
from lerf_ros.msg import GraspTarget, QueryResult
from lerf_ros.ros.transforms import pose_from_matrix

CLOUD_DTYPE = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("relevancy", "<f4")])
CLOUD_FIELDS = [
    PointField(name=name, offset=int(CLOUD_DTYPE.fields[name][1]), datatype=PointField.FLOAT32, count=1)
    for name in CLOUD_DTYPE.names or ()
    if CLOUD_DTYPE.fields is not None
]


def cloud_message(
    header: Header,
    points: Float32[np.ndarray, "N 3"],
    colours: UInt8[np.ndarray, "N 3"],
    relevancy: Float32[np.ndarray, " N"],
) -> PointCloud2:
    """Return points with colour (packed as PCL does: a float32 whose bytes are 0 r g b) and relevancy."""
    rows = np.empty(len(points), CLOUD_DTYPE)
    rows["x"], rows["y"], rows["z"] = points[:, 0], points[:, 1], points[:, 2]
    wide = colours.astype(np.uint32)
    rows["rgb"] = wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2]
    rows["relevancy"] = relevancy
    return PointCloud2(
        header=header,
        height=1,
        width=len(rows),
        fields=CLOUD_FIELDS,
        is_bigendian=False,
        point_step=CLOUD_DTYPE.itemsize,
        row_step=CLOUD_DTYPE.itemsize * len(rows),
        is_dense=True,
        data=rows.tobytes(),
    )


def cloud_arrays(
    cloud: PointCloud2,
) -> tuple[Float32[np.ndarray, "N 3"], UInt8[np.ndarray, "N 3"], Float32[np.ndarray, " N"]]:
    """Return points, colours and relevancy of a cloud made by `cloud_message`."""
    rows = np.frombuffer(cloud.data, CLOUD_DTYPE, count=cloud.width * cloud.height)
    points = np.stack([rows["x"], rows["y"], rows["z"]], axis=1)
    colours = np.stack([rows["rgb"] >> 16 & 255, rows["rgb"] >> 8 & 255, rows["rgb"] & 255], axis=1).astype(np.uint8)
    return points, colours, rows["relevancy"].copy()


def result_message(answer: PromptAnswer, header: Header, T_target_world: Float64[np.ndarray, "4 4"]) -> QueryResult:
    """Return one answer in the frame of `header`."""
    result = QueryResult(
        prompt=answer.prompt,
        status=int(answer.status),
        probability=float(answer.probability),
        relevancy=float(answer.relevancy),
        scale_m=float(answer.scale_m),
        message=answer.message,
    )
    if answer.argmax_point is not None:
        result.argmax = _point(transform_points(T_target_world, answer.argmax_point[None])[0])
    if answer.extent is not None:
        T_world_extent = pose_matrix(answer.extent.centre, answer.extent.quaternion)
        result.extent_pose = pose_from_matrix(T_target_world @ T_world_extent)
        size = result.extent_size
        size.x, size.y, size.z = (float(s) for s in answer.extent.size)
    if answer.points is not None and answer.colours is not None and answer.point_relevancy is not None:
        points = transform_points(T_target_world, answer.points)
        result.cloud = cloud_message(header, points, answer.colours, answer.point_relevancy)
    result.targets = target_messages(answer.targets, header, T_target_world)
    return result


def target_messages(
    targets: Sequence[GraspCandidate], header: Header, T_target_world: Float64[np.ndarray, "4 4"]
) -> list[GraspTarget]:
    """Return grasps in the frame of `header`."""
    return [
        GraspTarget(
            header=header,
            pose=pose_from_matrix(T_target_world @ target.T_world_tcp),
            width_m=float(target.width_m),
            pregrasp_distance_m=float(target.pregrasp_m),
            score=float(target.score),
            semantic_score=float(target.semantic),
            geometric_score=float(target.geometric),
        )
        for target in targets
    ]


def _point(xyz: Float[np.ndarray, " 3"]) -> Point:
    return Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))
