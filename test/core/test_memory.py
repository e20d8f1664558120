# SPDX-License-Identifier: Apache-2.0
"""Maps that could outgrow the machine: bounded or refused at the start, with what would fit."""

import logging

import pytest

from lerf_ros.config import from_flat
from lerf_ros.core.memory import available_bytes, rank_limit
from lerf_ros.errors import ConfigError

#  a point takes 400 B, and 3 x 5 x 2 B = 30 B a direction; four fifths of the memory may be used
MILLION = from_flat({"surface.max_points": 1_000_000})
WHOLE = int(1_000_000 * (400 + 30 * 128) / 0.8)


def test_all_directions_where_they_fit() -> None:
    assert rank_limit(MILLION, 128, WHOLE + 1000) == 128
    assert rank_limit(MILLION, 128, None) == 128


def test_fewer_directions_where_only_those_fit_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert rank_limit(MILLION, 128, int(1_000_000 * (400 + 30 * 70) / 0.8)) == 64
    assert "surface.max_points = 1000000" in caplog.text
    assert "64 of 128" in caplog.text


def test_refused_where_a_quarter_does_not_fit_and_the_remedy_is_right() -> None:
    little = int(500_000 * (400 + 30 * 32) / 0.8)
    with pytest.raises(ConfigError, match=r"surface\.max_points to 500000 at most") as told:
        rank_limit(MILLION, 128, little)
    assert "query.scales = 5" in str(told.value)
    assert rank_limit(from_flat({"surface.max_points": 499_000}), 128, little) == 32


def test_this_machine_has_memory() -> None:
    free = available_bytes()
    assert free is None or free > 2**26
