# SPDX-License-Identifier: Apache-2.0
"""The peer: a process of another interpreter (nerfstudio's), one request at a time over its standard streams.

It stays alive between requests, so that its measurements and ours alternate in one run.
"""

import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
HOW: Final = "no peer environment: `make bench-peers` makes one"
STOP_S: Final = 10.0
TIMEOUT_S: Final = 1800.0
STATE: Final = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH", "PYTHONPATH", "OMP_WAIT_POLICY")
"""Variables that bind a process to this interpreter's libraries, or to our way of waiting: it has its own default."""


class PeerError(RuntimeError):
    """The peer failed; the message holds its own words."""


class Peer:
    """One peer process. Leave the `with` block to end it."""

    def __init__(self, python: Path, log: Path, server: str = "bench.peers.serve") -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if key not in STATE}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(python), "-m", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output,
                cwd=ROOT, env=environment, start_new_session=True,
            )  # fmt: skip
        self._buffer = b""

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def call(self, method: str, timeout_s: float = TIMEOUT_S, **arguments: Any) -> Any:
        """Return what the peer's function gives for the arguments (what JSON can carry).

        Raises:
            PeerError: it raised, died, or gave no answer in time.
        """
        assert self._process.stdin is not None
        request = json.dumps({"call": method, "with": arguments}).encode() + b"\n"
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except OSError as error:
            raise PeerError(f"the peer has ended; see {self._log}") from error
        answer = json.loads(self._line(timeout_s))
        if "error" in answer:
            raise PeerError(f"{method}: {answer['error']}; see {self._log}")
        return answer["result"]

    def stop(self) -> None:
        """End the process: it ends by itself when its input does, or is killed."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _line(self, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        stream, deadline = self._process.stdout.fileno(), time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([stream], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise PeerError(f"no answer within {timeout_s:g} s; see {self._log}")
            more = os.read(stream, 1 << 16)
            if not more:
                raise PeerError(f"the peer ended without an answer; see {self._log}")
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def find_python(given: Path | None) -> Path | None:
    """Return the interpreter of the peer environment: the given one, else `.venv-peers`, else None."""
    if given is not None:
        return given
    default = ROOT / ".venv-peers" / "bin" / "python"
    return default if default.exists() else None
