# SPDX-License-Identifier: Apache-2.0
"""Starts a node, spins it until it is told to stop, and gets out cleanly whichever way that comes."""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import rclpy
from rclpy.exceptions import InvalidHandle, ParameterException
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.task import Future

from lerf_ros.ros.transport import use_profile

N = TypeVar("N", bound=Node)
RCLError: type[Exception] = rclpy_implementation.RCLError
BAD_ARGUMENTS: tuple[type[Exception], type[Exception], type[Exception]] = (
    rclpy_implementation.RCLInvalidROSArgsError,
    rclpy_implementation.UnknownROSArgsError,
    ParameterException,
)
"""What a wrong command line or parameter file raises."""


def run_program(
    name: str,
    make: Callable[[], N],
    close: Callable[[N], bool],
    refusals: tuple[type[Exception], ...],
    args: Sequence[str] | None = None,
    threads: int = 1,
) -> int:
    """Initialise ROS, make a node, spin it until SIGINT or SIGTERM, and return the exit code.

    Args:
        name: what the message on stderr calls the program.
        make: constructs the node.
        close: ends what the node started; returns whether it ended.
        refusals: what `make` raises when the node cannot start; said in one line, exit code 2.
        args: the command line; None: the process's own.
        threads: as `run_node`.
    """
    try:
        start_ros(args)
    except (*BAD_ARGUMENTS, RCLError) as error:  # a parameter file that is not there or no YAML is a bare RCLError
        return _refuse(name, error)
    try:
        node = make()
    except BAD_ARGUMENTS as error:
        return _refuse(name, error)
    except (RCLError, InvalidHandle, ExternalShutdownException):
        if rclpy.ok():
            raise
        return 0  # told to stop while it was starting
    except refusals as error:
        return _refuse(name, error)
    if not run_node(node, lambda: close(node), threads):
        os._exit(1)  # a thread that cannot be stopped would keep the process for ever
    gc.freeze()  # or the interpreter's last collection walks all of torch: seconds, of the five `ros2 launch` gives
    return 0


def _refuse(name: str, error: Exception) -> int:
    sys.stderr.write(f"{name} cannot start: {error}\n")
    rclpy.try_shutdown()
    return 2


def start_ros(args: Sequence[str] | None = None) -> None:
    """Initialise rclpy with our transport profile, so that SIGINT and SIGTERM end the spin and nothing else.

    Python's own SIGINT handler raises KeyboardInterrupt wherever the main thread happens to be; between the start of a
    thread and the code that would stop it, that leaves the process hanging. rclpy's handler calls ours in turn.
    """
    use_profile()
    signal.signal(signal.SIGINT, lambda *_: None)
    rclpy.init(args=list(args) if args is not None else None)


def run_node(node: Node, close: Callable[[], bool], threads: int = 1) -> bool:
    """Spin `node` until SIGINT, SIGTERM or a shutdown of the context, then call `close`, destroy the node and
    return what `close` did (whether all threads ended).

    One thread is woken by events: rclpy's multi-threaded executor rebuilds its wait set for every message and spends a
    whole core on 80 Hz of transforms, which the trainer then lacks. Several are for a node that receives little and
    has services that take long.

    The spin has a time-out: a signal that arrives while rcl waits can otherwise go unnoticed. During `close` further
    SIGINTs are ignored; `ros2 launch` and process groups send a second one.
    """
    executor: Executor | None = None
    ended = False
    try:
        executor = _one_thread() if threads == 1 else MultiThreadedExecutor(num_threads=threads)
        executor.add_node(node)
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.5)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (RCLError, InvalidHandle):
        if rclpy.ok():
            raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ended = close()
        if executor is not None:
            executor.shutdown(timeout_sec=5.0)
        node.destroy_node()
        rclpy.try_shutdown()
    return ended


def spin_until_done(node: Node, future: Future, timeout_s: float) -> bool:
    """Spin a client's node until a future is done; return whether it is.

    rclpy's `spin_until_future_complete` leaves something behind in the executor: after a thousand calls each one takes
    thirty milliseconds longer, and now and then an answer is missed.
    """
    deadline = time.monotonic() + timeout_s
    while not future.done() and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=min(0.5, timeout_s))
    return bool(future.done())


def _one_thread() -> Executor:
    """Return the events executor where this rclpy has one; the older single-threaded one costs more CPU."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()
