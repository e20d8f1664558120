# SPDX-License-Identifier: Apache-2.0
"""Who may use how many CPU threads: the encoder and the trainer would strangle each other on a small machine."""

import threading


class CpuShare:
    """Half for each while both work, all for the one that works alone. Self-locked.

    torch and numba keep thread counts per calling thread, so each thread asks for its share and applies it itself.
    """

    def __init__(self, threads: int) -> None:
        self._threads = max(1, threads)
        self._encoder_busy = False
        self._trainer_busy = False
        self._lock = threading.Lock()

    def reconfigure(self, threads: int) -> None:
        """Share out so many from now on."""
        with self._lock:
            self._threads = max(1, threads)

    def encoder(self, *, busy: bool) -> int:
        """Say whether the encoder works now; return its threads."""
        with self._lock:
            self._encoder_busy = busy
            return max(1, self._threads // 2) if self._trainer_busy else self._threads

    def trainer(self, *, busy: bool) -> int:
        """Say whether the trainer works now; return its threads."""
        with self._lock:
            self._trainer_busy = busy
            return max(1, self._threads - self._threads // 2) if self._encoder_busy else self._threads
