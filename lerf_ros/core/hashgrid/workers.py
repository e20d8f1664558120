# SPDX-License-Identifier: Apache-2.0
"""A few threads for numba kernels that release the GIL.

Own threads instead of numba's parallel loops: those share one process-wide team that must not be entered by two threads
at once, and cannot be given one core while an encoder uses the other.
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from lerf_ros.errors import ConfigError


class Workers:
    """Run a callable over several argument tuples, on at most `threads` threads (the caller's own included)."""

    def __init__(self, threads: int = 1) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._threads = 1
        self.threads = threads

    @property
    def threads(self) -> int:
        """Threads used from the next call on.

        Raises:
            ConfigError: fewer than one are asked for.
        """
        return self._threads

    @threads.setter
    def threads(self, threads: int) -> None:
        if threads < 1:
            raise ConfigError(f"kernels need at least 1 thread, not {threads}: set runtime.threads to 1 or more")
        if threads == self._threads:
            return
        self.close()
        self._threads = threads
        if threads > 1:
            self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="lerf-kernel")

    def run(self, function: Callable[..., None], arguments: Sequence[tuple[object, ...]]) -> None:
        """Call `function` once per tuple; the last one on the calling thread. Raises what a call raised."""
        if self._pool is None:
            for each in arguments:
                function(*each)
            return
        futures = [self._pool.submit(function, *each) for each in arguments[:-1]]
        function(*arguments[-1])
        for future in futures:
            future.result()

    def spans(self, count: int) -> list[slice]:
        """Return `threads` slices that cover `range(count)`."""
        edges = [count * i // self._threads for i in range(self._threads + 1)]
        return [slice(a, b) for a, b in itertools.pairwise(edges)]

    def close(self) -> None:
        """End the threads; a later change of `threads` starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None
        self._threads = 1
