# SPDX-License-Identifier: Apache-2.0
"""Which moment `~/forget_region` forgets up to: also when the images' stamps are not of the node's clock."""

from types import SimpleNamespace

import pytest
from analytic import look_at, render

from lerf_ros.ros.services.offered import until_now

NOW_NS = 1_800_000_000_000_000_000


@pytest.mark.parametrize(
    ("stamps", "until"),
    [
        ((), NOW_NS),
        ((NOW_NS - 50_000_000,), NOW_NS),  # live: what was taken up to now, seen by us or not
        ((NOW_NS - 86_400_000_000_000, NOW_NS - 86_401_000_000_000), NOW_NS - 86_400_000_000_000),  # of yesterday
        ((5_000_000_000,), 5_000_000_000),  # of a clock that began at zero
    ],
)
def test_it_is_the_newest_stamp_that_there_can_be(stamps: tuple[int, ...], until: int) -> None:
    pose = look_at((0.4, 0.0, 0.4), (0.0, 0.0, 0.0))
    newest = {f"camera {n}": render([], pose, stamp_ns=stamp) for n, stamp in enumerate(stamps)}
    site = SimpleNamespace(now_ns=lambda: NOW_NS, ingest=SimpleNamespace(newest=newest))
    assert until_now(site) == until  # type: ignore[arg-type]
