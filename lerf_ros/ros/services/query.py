# SPDX-License-Identifier: Apache-2.0
"""`~/query`: request message to core request, core answers to response message. Never raises, never blocks training."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from jaxtyping import Float64
from std_msgs.msg import Header

from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.geometry import transform_points
from lerf_ros.core.phrases import Corner
from lerf_ros.core.query import QueryRequest, Status, answer
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import PoseError, PromptError
from lerf_ros.msg import QueryResult
from lerf_ros.ros.outputs.answers import result_message
from lerf_ros.ros.outputs.tally import QueryTally
from lerf_ros.ros.poses.source import PoseSource
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import Query

_log = logging.getLogger(__name__)


class QueryService:
    """Answers from the newest snapshot.

    Args:
        settings: the configuration in force.
        encoder: the one the map is trained with.
        snapshot: returns the newest snapshot, None before the first.
        transforms: for regions and answers in other frames.
        now_ns: the node's clock.
        answering: gives the context that every request is answered in.
        tally: told of every answer.
    """

    def __init__(
        self,
        settings: Settings,
        encoder: ImageTextEncoder,
        snapshot: Callable[[], FieldSnapshot | None],
        transforms: PoseSource,
        now_ns: Callable[[], int],
        answering: Callable[[], AbstractContextManager[None]] = nullcontext,
        tally: QueryTally | None = None,
    ) -> None:
        self._settings = settings
        self._encoder = encoder
        self._snapshot = snapshot
        self._transforms = transforms
        self._now_ns = now_ns
        self._answering = answering
        self._tally = tally or QueryTally()

    def __call__(self, request: Query.Request, response: Query.Response) -> Query.Response:
        """Fill the response; whatever goes wrong is a status and a message in it."""
        begin = time.perf_counter()
        with self._answering():
            response = self._answer(request, response)
        self._tally.answered(time.perf_counter() - begin, response)
        return response

    def _answer(self, request: Query.Request, response: Query.Response) -> Query.Response:
        snapshot = self._snapshot()
        world = self._settings.now.input.world_frame
        response.header.frame_id = request.target_frame or world
        if snapshot is not None:
            response.training_step = snapshot.step
            for stamp in (response.map_stamp, response.header.stamp):
                stamp.sec, stamp.nanosec = divmod(snapshot.stamp_ns, 1_000_000_000)
        try:
            T_target_world = self._target(request.target_frame, response.header)
            answers = answer(snapshot, self._request(request), self._encoder, self._settings.now, self._now_ns())
            response.results = [result_message(a, response.header, T_target_world) for a in answers]
        except (PromptError, PoseError) as error:
            self._refuse(request, response, Status.BAD_REQUEST, str(error))
        except Exception as error:  # a service callback that raises would take the node down
            _log.exception("query %r failed", list(request.prompts)[:5])
            self._refuse(request, response, Status.INTERNAL, f"{type(error).__name__}: {error}")
        return response

    def _target(self, frame: str, header: Header) -> Float64[np.ndarray, "4 4"]:
        """Return `T_target_world`, and stamp the header with the time it holds for."""
        world = self._settings.now.input.world_frame
        if not frame or frame == world:
            return np.eye(4)
        header.stamp.sec, header.stamp.nanosec = divmod(self._now_ns(), 1_000_000_000)
        try:
            return self._transforms.lookup(frame, world, None)
        except PoseError as error:
            raise PoseError(error.cause, f"target_frame {frame!r} cannot be reached from {world!r}: {error}") from error

    def _request(self, message: Query.Request) -> QueryRequest:
        return QueryRequest(
            prompts=tuple(message.prompts),
            negatives=tuple(message.negatives),
            within=message.within,
            region=self._region(message),
            max_points=message.max_points,
            max_targets=message.max_targets,
            plan_grasps=message.plan_grasps,
        )

    def _region(self, message: Query.Request) -> tuple[Corner, Corner] | None:
        """Return the region as an upright box in the world frame; None when both corners are zero."""
        low = np.array([message.region_min.x, message.region_min.y, message.region_min.z])
        high = np.array([message.region_max.x, message.region_max.y, message.region_max.z])
        if not low.any() and not high.any():
            return None
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
            raise PromptError(
                f"region_min {low.tolist()} must be finite and below region_max {high.tolist()} in x, y and z"
            )
        frame, world = message.region_frame, self._settings.now.input.world_frame
        if frame and frame != world:
            try:
                T_world_region = self._transforms.lookup(world, frame, None)
            except PoseError as error:
                raise PoseError(error.cause, f"region_frame {frame!r} cannot be reached: {error}") from error
            corners = np.array(np.meshgrid(*np.stack([low, high], axis=1))).reshape(3, -1).T
            turned = transform_points(T_world_region, corners)
            low, high = turned.min(axis=0), turned.max(axis=0)
        return _corner(low), _corner(high)

    def _refuse(self, request: Query.Request, response: Query.Response, status: Status, message: str) -> None:
        response.message = message
        response.results = [
            QueryResult(prompt=prompt, status=int(status), message=message) for prompt in request.prompts
        ]


def _corner(xyz: Float64[np.ndarray, " 3"]) -> Corner:
    return float(xyz[0]), float(xyz[1]), float(xyz[2])
