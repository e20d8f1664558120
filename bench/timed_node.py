# SPDX-License-Identifier: Apache-2.0
"""The node `lerf` as it is, with a clock around every subscription's callback; run as a process of its own."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lerf_ros.errors import LerfError
from lerf_ros.ros.node import LerfNode
from lerf_ros.ros.running import run_program

REPORT: Final = "LERF_BENCH_CALLBACKS"
"""Environment variable: where to write the times (ms, by topic) when the node is stopped."""


class TimedNode(LerfNode):
    """Writes what its callbacks took when it is closed."""

    def __init__(self) -> None:
        self.callback_ms: dict[str, list[float]] = {}
        super().__init__()

    def create_subscription(
        self, msg_type: Any, topic: str, callback: Callable[..., None], *args: Any, **more: Any
    ) -> Any:
        """Subscribe as asked, timing the callback."""
        times = self.callback_ms.setdefault(topic, [])

        def timed(message: Any) -> None:
            begin = time.perf_counter()
            callback(message)
            times.append(1e3 * (time.perf_counter() - begin))

        return super().create_subscription(msg_type, topic, timed, *args, **more)

    def close(self) -> bool:
        """Stop as the node does, and write the times."""
        ended = super().close()
        if REPORT in os.environ:
            Path(os.environ[REPORT]).write_text(json.dumps(self.callback_ms), encoding="utf-8")
        return ended


if __name__ == "__main__":
    sys.exit(run_program("lerf", TimedNode, TimedNode.close, (LerfError,), None))
