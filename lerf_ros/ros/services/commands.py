# SPDX-License-Identifier: Apache-2.0
"""What services want of the trainer thread, waited for with a limit."""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import TypeVar

from lerf_ros.errors import RequestError

R = TypeVar("R")


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
