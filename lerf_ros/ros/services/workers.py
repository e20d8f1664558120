# SPDX-License-Identifier: Apache-2.0
"""Services that answer from threads of their own, so that no request holds up cameras and transforms."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.service import Service

from lerf_ros.ros.services.lane import Lane

RCLError: type[Exception] = rclpy_implementation.RCLError
Q = TypeVar("Q")
A = TypeVar("A")

WAITING = {"query": 32, "long": 8}
"""Most requests that wait in each lane; who comes then is told at once that it is busy."""

DEPTH = 256
"""Requests that the middleware keeps until they are looked at: a burst must be answered, if only by "busy"."""

_log = logging.getLogger(__name__)


def refused(request: Any, response: Any, reason: str) -> Any:
    """Return the response of a service that says by `message` alone why it did nothing."""
    response.message = reason
    return response


class Workers:
    """One thread for queries and one for everything long (files, rendering), each first come, first served.

    Requests are taken by the executor's thread, which only hands them over; the thread that made the answer sends it.
    """

    def __init__(self) -> None:
        self._lanes = {name: Lane(name, limit) for name, limit in WAITING.items()}

    def serve(
        self, node: Node, kind: Any, name: str, handle: Callable[[Q, A], A], *, on: str = "long",
        refuse: Callable[[Q, A, str], A] = refused, failed: Callable[[Q, A, str], A] | None = None,
    ) -> Service:  # fmt: skip
        """Offer a service whose `handle(request, response)` runs in a worker thread (`on`: "query" or "long").

        `handle` should not raise: what goes wrong belongs into the response. `refuse(request, response, reason)` fills
        the response to a request that is not handled: too many wait, or the node is taken down. `failed`, as `refuse`,
        to one whose `handle` raised.
        """
        lane = self._lanes[on]

        def hand_over(request: Any, response: Any) -> Any:
            return lane.submit(
                lambda: handle(request, response),
                lambda reason: refuse(request, kind.Response(), reason),
                lambda reason: (failed or refuse)(request, kind.Response(), reason),
            )

        service = node.create_service(kind, name, hand_over, qos_profile=QoSProfile(depth=DEPTH))
        send = service.send_response

        def send_when_done(answer: "Future[A]", header: object) -> None:
            answer.add_done_callback(lambda done: _send(done, header))

        def _send(done: "Future[A]", header: object) -> None:
            try:
                send(done.result(), header)
            except (RCLError, InvalidHandle):
                _log.debug("nobody waits for an answer of %s any more", name)
            except Exception:
                _log.exception("%s gave no answer", name)

        # rclpy's executors pass on whatever a callback returns to this method: here, a future
        service.send_response = send_when_done  # type: ignore[method-assign,assignment]
        return service

    def close(self) -> None:
        """Refuse what waits and what comes; what is being answered goes on. Does not wait."""
        for lane in self._lanes.values():
            lane.close()

    def join(self, deadline: float) -> bool:
        """Wait until the threads have ended, until `deadline` (time.monotonic) at most; return whether they have."""
        left = [name for name, lane in self._lanes.items() if not lane.join(deadline)]
        for name in left:
            _log.error("a %s request was not answered in time (runtime.join_timeout_s)", name)
        return not left
