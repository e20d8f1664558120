# SPDX-License-Identifier: Apache-2.0
"""Services that answer from threads of their own, so that no request holds up cameras and transforms."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.service import Service

RCLError: type[Exception] = rclpy_implementation.RCLError
Q = TypeVar("Q")
A = TypeVar("A")

_log = logging.getLogger(__name__)


class Workers:
    """One thread for queries and one for everything long (files, rendering), each first come, first served.

    Requests are taken by the executor's thread, which only hands them over; the thread that made the answer sends it.
    """

    def __init__(self) -> None:
        self._pools = {
            name: ThreadPoolExecutor(1, thread_name_prefix=f"lerf-{name}") for name in ("query", "long")
        }

    def serve(
        self, node: Node, kind: Any, name: str, handle: Callable[[Q, A], A], *, on: str = "long"
    ) -> Service:
        """Offer a service whose `handle(request, response)` runs in a worker thread (`on`: "query" or "long").

        `handle` must not raise: what goes wrong belongs into the response.
        """
        pool = self._pools[on]

        def hand_over(request: Any, response: Any) -> Any:
            return pool.submit(handle, request, response)

        service = node.create_service(kind, name, hand_over)
        send = service.send_response

        def send_when_done(answer: "Future[A]", header: object) -> None:
            answer.add_done_callback(lambda done: _send(done, header))

        def _send(done: "Future[A]", header: object) -> None:
            if done.cancelled():
                return  # the node is being taken down; the client's own time-out tells
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
        """Finish what is being answered, drop what waits, end the threads."""
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
