# SPDX-License-Identifier: Apache-2.0
"""`~/query`: request message to core request, core answers to response message. Never raises, never blocks training."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from geometry_msgs.msg import Point
from jaxtyping import Float64
from std_msgs.msg import Header

from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.phrases import Corner
from lerf_ros.core.query import QueryRequest, Status, answer
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.errors import PoseError, PromptError
from lerf_ros.msg import QueryResult
from lerf_ros.ros.outputs.answers import result_message
from lerf_ros.ros.outputs.tally import QueryTally
from lerf_ros.ros.poses.source import PoseSource
from lerf_ros.ros.services.regions import upright_box
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
        with self._answering(), self._tally.answering():
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
            _refuse(request, response, Status.BAD_REQUEST, str(error))
        except Exception as error:  # a service callback that raises would take the node down
            _log.exception("query %r failed", list(request.prompts)[:5])
            _refuse(request, response, Status.INTERNAL, f"{type(error).__name__}: {error}")
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
        if message.region_min == Point() and message.region_max == Point():
            return None
        return upright_box(
            message.region_min, message.region_max, message.region_frame, self._settings.now.input.world_frame,
            self._transforms,
        )  # fmt: skip

    @staticmethod
    def refuse(request: Query.Request, response: Query.Response, reason: str) -> Query.Response:
        """Fill the response to a request that is not answered, because too many wait for instance."""
        _refuse(request, response, Status.NOT_READY, reason)
        return response

    @staticmethod
    def failed(request: Query.Request, response: Query.Response, reason: str) -> Query.Response:
        """Fill the response to a request whose answer went wrong."""
        _refuse(request, response, Status.INTERNAL, reason)
        return response


def _refuse(request: Query.Request, response: Query.Response, status: Status, message: str) -> None:
    response.message = message
    response.results = [QueryResult(prompt=prompt, status=int(status), message=message) for prompt in request.prompts]
