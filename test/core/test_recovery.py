# SPDX-License-Identifier: Apache-2.0
"""When a change counts as relearned, whatever training there is."""

import numpy as np
import pytest

from lerf_ros.config import Config
from lerf_ros.core.keyframes import KeyframeStore
from lerf_ros.core.recovery import MOST_STEPS, Recovery
from lerf_ros.core.surface import SurfaceBuilder
from lerf_ros.core.trainer import Trainer

STEPS = 1000
"""At which the change was noticed."""


def changed() -> Recovery:
    """Return a recovery that waits for a place which no keyframe shows."""
    config = Config()
    recovery = Recovery(config, SurfaceBuilder(config.surface, config.workspace), KeyframeStore(10))
    region = recovery._watch.regions.of(np.zeros((20, 3), np.float32), np.zeros(20, np.int64), 5, appeared=False)
    region.sure, region.renewed_at = True, STEPS
    return recovery


@pytest.mark.parametrize(("idle_steps", "over"), [(6000, MOST_STEPS), (120, 120), (7, 7), (1, 1)])
def test_nothing_is_stale_for_ever(idle_steps: int, over: int) -> None:
    """What no keyframe shows can be learned no better, and nothing is learned when training rests."""
    recovery, trainer = changed(), object.__new__(Trainer)  # nothing but its count of steps
    for step in range(STEPS + 1, STEPS + 1 + over):
        trainer.steps = step
        recovery.learned(trainer, (), idle_steps)
        if step == STEPS + over // 3:
            assert len(recovery._watch.regions) == 1
    assert len(recovery._watch.regions) == 0
