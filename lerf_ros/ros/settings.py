# SPDX-License-Identifier: Apache-2.0
"""The configuration in force, shared by all that must see it change."""

import logging
from collections.abc import Callable
from typing import Any, cast

from lerf_ros.config import Config, InputConfig

_log = logging.getLogger(__name__)


class Settings:
    """The configuration in force: one reference, swapped whole; a reader keeps what it took for as long as it likes.

    Read `now` at each use, from any thread. Who must keep values (a timer's period, a queue's length) watches.
    """

    def __init__(self, config: Config) -> None:
        self.now = config
        self._watchers: list[Callable[[Config], None]] = []

    def live_input(self) -> InputConfig:
        """Return the section `input` as it is at each look, for whoever keeps it."""
        return cast(InputConfig, _LiveInput(self))

    def watch(self, tell: Callable[[Config], None]) -> None:
        """Have `tell(config)` called after each change, in the thread that changes it (the executor's)."""
        self._watchers.append(tell)

    def change(self, config: Config) -> None:
        """Put another configuration in force, and tell those who watch."""
        self.now = config
        for tell in self._watchers:
            try:
                tell(config)
            except Exception:  # the others must hear of it all the same
                _log.exception("a change of parameters was not taken in by %s", getattr(tell, "__qualname__", tell))


class _LiveInput:
    """Has the attributes of the section `input` in force."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings.now.input, name)
