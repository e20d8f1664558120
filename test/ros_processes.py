# SPDX-License-Identifier: Apache-2.0
"""Programs of ours as processes of their own, for tests over real DDS: start, wait with a deadline, stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
STOP_S = 10.0


class Program:
    """One process with its output in a file. Leave the `with` block to stop it."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                start_new_session=True,
            )

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Return the exit code; fail the test with the log when it does not come."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"still running after {timeout_s} s:\n{self.output}") from None

    def stop(self, sig: signal.Signals = signal.SIGINT) -> int:
        """Signal, and once more when that goes unnoticed (a known race in rcl); kill as the last resort."""
        for attempt in (sig, sig, signal.SIGKILL):
            if not self.alive:
                break
            if attempt == signal.SIGKILL:
                os.killpg(self.process.pid, attempt)
            else:
                self.process.send_signal(attempt)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                continue
        return self.process.wait(STOP_S)


def lerf_node(log: Path, parameters: dict[str, object], remappings: Sequence[str] = ()) -> Program:
    """Start the node `lerf`."""
    arguments = [argument for key, value in parameters.items() for argument in ("-p", f"{key}:={_literal(value)}")]
    arguments += [argument for rule in remappings for argument in ("-r", rule)]
    code = "import sys; from lerf_ros.ros.node import main; sys.exit(main())"
    return Program([sys.executable, "-c", code, "--ros-args", *arguments], log)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Call `condition` (which should itself spin or wait a little) until it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(str, value))}]" if isinstance(value, (list, tuple)) else str(value)
