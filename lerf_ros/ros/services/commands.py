# SPDX-License-Identifier: Apache-2.0
"""What services have in common: orders to the trainer thread, waited for with a limit, and saying what went wrong."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from contextlib import contextmanager
from typing import Protocol, TypeVar

from lerf_ros.errors import LerfError, RequestError

R = TypeVar("R")

_log = logging.getLogger(__name__)


class Told(Protocol):
    """A response that can say why."""

    message: str


@contextmanager
def told_in(response: Told, what: str) -> Iterator[None]:
    """Make whatever goes wrong inside the message of a response: a service that raises would not answer.

    Args:
        response: of the service.
        what: is being done, for the log, which tells of errors that nobody foresaw.
    """
    try:
        yield
    except LerfError as error:
        response.message = str(error)
    except Exception as error:
        _log.exception("%s failed", what)
        response.message = f"{type(error).__name__}: {error}"


def wait_for(order: "Callable[[], Future[R]]", timeout_s: float) -> R:
    """Give an order to the trainer thread and return its result.

    Raises:
        RequestError: it was not begun within `timeout_s`; then it will not be carried out either.
        LerfError: what the order raises; the trainer is stopped.
    """
    ordered = order()
    try:
        return ordered.result(timeout_s)
    except NotInTime as error:
        if ordered.cancel():
            raise RequestError(f"training did not pause within {timeout_s:g} s; nothing was done; try again") from error
        raise RequestError(f"this takes longer than {timeout_s:g} s (runtime.command_timeout_s); it goes on") from error
