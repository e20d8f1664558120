# SPDX-License-Identifier: Apache-2.0
"""The configuration in force, shared by all that must see it change."""

from lerf_ros.config import Config


class Settings:
    """The configuration in force: one reference, swapped whole; a reader keeps what it took for as long as it likes."""

    def __init__(self, config: Config) -> None:
        self.now = config
