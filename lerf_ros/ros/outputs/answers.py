# SPDX-License-Identifier: Apache-2.0
"""Answers of the core to messages, in the frame they were asked for in."""

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Pose, Vector3
from jaxtyping import Float, Float64
from std_msgs.msg import Header

from lerf_ros.core.extent import Extent
from lerf_ros.core.geometry import pose_matrix, transform_points
from lerf_ros.core.grasp import GraspCandidate
from lerf_ros.core.request import Instance, PromptAnswer
from lerf_ros.msg import GraspTarget, QueryResult
from lerf_ros.msg import Instance as InstanceMessage
from lerf_ros.ros.outputs.clouds import cloud_message
from lerf_ros.ros.poses.listeners import pose_from_matrix

__all__ = ["cloud_message", "result_message", "target_messages"]


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
        result.argmax = _point(answer.argmax_point, T_target_world)
    if answer.extent is not None:
        result.extent_pose, result.extent_size = _box(answer.extent, T_target_world)
    result.instances = [_instance(each, T_target_world) for each in answer.instances]
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


def _instance(each: Instance, T_target_world: Float64[np.ndarray, "4 4"]) -> InstanceMessage:
    pose, size = _box(each.extent, T_target_world)
    return InstanceMessage(
        probability=float(each.probability),
        relevancy=float(each.relevancy),
        scale_m=float(each.scale_m),
        argmax=_point(each.point, T_target_world),
        extent_pose=pose,
        extent_size=size,
    )


def _box(extent: Extent, T_target_world: Float64[np.ndarray, "4 4"]) -> tuple[Pose, Vector3]:
    pose = pose_from_matrix(T_target_world @ pose_matrix(extent.centre, extent.quaternion))
    return pose, Vector3(**dict(zip("xyz", map(float, extent.size), strict=True)))


def _point(xyz: Float[np.ndarray, " 3"], T_target_world: Float64[np.ndarray, "4 4"]) -> Point:
    """Return a world point in the target frame."""
    return Point(**dict(zip("xyz", map(float, transform_points(T_target_world, xyz[None])[0]), strict=True)))
