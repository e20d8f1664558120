# SPDX-License-Identifier: Apache-2.0
"""A map of a ball and a crate on a table, made from a ring of rendered views as the node makes one."""

from collections.abc import Sequence

from analytic import Box, Sphere, render, ring

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.mapper import LerfMapper


def map_ring(
    config: Config, encoder: ImageTextEncoder, solids: Sequence[Sphere | Box], views: int, steps: int
) -> LerfMapper:
    """Return a map of solids after so many steps, one thread."""
    mapper = LerfMapper(config, encoder)
    mapper.set_threads(1)
    for k, pose in enumerate(ring(views)):
        keyframe = mapper.prepare(render(solids, pose, stamp_ns=(k + 1) * 10**9))
        assert keyframe is not None
        mapper.add(keyframe)
    for _ in range(steps):
        mapper.step()
    return mapper
