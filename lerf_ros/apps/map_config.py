# SPDX-License-Identifier: Apache-2.0
"""The configuration a map was made with, as far as a verb needs it."""

import sys

from lerf_ros.config import Config, from_flat, options
from lerf_ros.core.mapfile import MapInfo

FIELD = ("workspace", "keyframes", "field", "train")
"""Sections that shape a map's weights: all of them must be known."""

ASKING = ("encoder", "query", "grasp", "surface")
"""Sections that say how a map is asked."""


def field_config(info: MapInfo) -> Config:
    """Return the configuration that a map's weights fit.

    Raises:
        ConfigError: a setting is unknown or out of range: the map is another version's.
    """
    return from_flat({k: v for k, v in info.config.items() if k.split(".")[0] in FIELD})


def asking_config(info: MapInfo, **encoder: str) -> Config:
    """Return how to ask a map, the encoder's settings replaced by those given.

    A setting this version does not know any more is named on stderr and left out: the map can still be asked.

    Raises:
        ConfigError: a value is out of range.
    """
    known = {option.key for option in options()}
    stored = {k: v for k, v in info.config.items() if k.split(".")[0] in ASKING}
    if lost := sorted(stored.keys() - known):
        sys.stderr.write(f"the map was made with {', '.join(lost)}, which this version does not have: left out\n")
    stored |= {f"encoder.{name}": value for name, value in encoder.items()}
    return from_flat({k: v for k, v in stored.items() if k in known})
