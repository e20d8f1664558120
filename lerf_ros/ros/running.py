# SPDX-License-Identifier: Apache-2.0
"""Spins a node until it is told to stop, and gets out cleanly whichever way that comes."""

import signal
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

RCLError: type[Exception] = rclpy_implementation.RCLError


def run_node(node: Node, close: Callable[[], bool], threads: int) -> bool:
    """Spin `node` until SIGINT, SIGTERM or a shutdown of the context, then call `close`, destroy the node and
    return what `close` did (whether all threads ended).

    The spin has a time-out: a signal that arrives while rcl waits can otherwise go unnoticed. During `close` further
    SIGINTs are ignored; `ros2 launch` and process groups send a second one.
    """
    executor = MultiThreadedExecutor(num_threads=threads)
    executor.add_node(node)
    ended = False
    try:
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.5)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RCLError:
        if rclpy.ok():
            raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ended = close()
        executor.shutdown(timeout_sec=5.0)
        node.destroy_node()
        rclpy.try_shutdown()
    return ended
