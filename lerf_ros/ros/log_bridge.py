# SPDX-License-Identifier: Apache-2.0
"""Python logging of everything below the ROS layer, forwarded to the node's logger and so to /rosout."""

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger


class RosLogHandler(logging.Handler):
    """Hands records to a ROS logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record, with its traceback if it has one."""
        text = self.format(record)
        # rclpy refuses one call site with changing severities: a line for each
        if record.levelno >= logging.CRITICAL:
            self._logger.fatal(text)
        elif record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def install(logger: RcutilsLogger) -> RosLogHandler:
    """Forward the `lerf_ros` loggers to `logger`; return the handler, for `remove`."""
    handler = RosLogHandler(logger)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    ours = logging.getLogger("lerf_ros")
    ours.addHandler(handler)
    ours.propagate = False  # libraries may have given the root logger a handler: each line would be printed twice
    ours.setLevel(logging.DEBUG if logger.get_effective_level() <= 10 else logging.INFO)
    return handler


def remove(handler: RosLogHandler) -> None:
    """Stop forwarding."""
    ours = logging.getLogger("lerf_ros")
    ours.removeHandler(handler)
    ours.propagate = True
