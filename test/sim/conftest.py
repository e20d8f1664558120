# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the simulator's tests."""

from collections.abc import Callable

import open_clip  # noqa: F401  (with osmesa it must be imported before MuJoCo, whichever test asks for it first)
import pytest

from lerf_ros.sim.scene import Scene, build
from lerf_ros.sim.spec import ObjectSpec, SceneSpec

SingleScene = Callable[..., Scene]


@pytest.fixture
def single() -> SingleScene:
    """Builds a scene with one red object called "thing"."""

    def make(category: str, xy: tuple[float, float] = (0.42, 0.0), yaw: float = 0.0, seed: int = 1) -> Scene:
        thing = ObjectSpec("thing", category, "red", xy, yaw, seed)
        return build(SceneSpec(0, "wooden", "gray", (thing,)))

    return make


@pytest.fixture
def bare() -> Scene:
    """A table without objects."""
    return build(SceneSpec(0, "wooden", "gray", ()), settle_s=0.0)
