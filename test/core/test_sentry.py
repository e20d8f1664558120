# SPDX-License-Identifier: Apache-2.0
"""What a camera that stands still tells: each change once, also one that has been before, whatever the clock does."""

import pytest
from analytic import Sphere, look_at, render, ring

from lerf_ros.config import ChangeConfig, SurfaceConfig, WorkspaceConfig
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.sentry import Sentry
from lerf_ros.core.surface import SurfaceBuilder, SurfaceMap

BALL = Sphere((0.0, 0.08, 0.035), 0.035, (200, 30, 30))
WORKSPACE = WorkspaceConfig(min_m=(-0.3, -0.3, -0.05), max_m=(0.3, 0.3, 0.3))
SECOND = 10**9


def surface_of(solids: list[Sphere]) -> SurfaceMap:
    builder = SurfaceBuilder(SurfaceConfig(), WORKSPACE)
    for pose in ring(8):
        image = render(solids, pose)
        assert image.depth_m is not None
        builder.add(image, image.depth_m)
    return builder.build()


@pytest.fixture(scope="module")
def full() -> SurfaceMap:
    return surface_of([BALL])


@pytest.fixture(scope="module")
def empty() -> SurfaceMap:
    return surface_of([])


class Camera:
    """Looks once a second."""

    def __init__(self) -> None:
        self.sentry = Sentry(ChangeConfig(), 1)
        self.stamp_ns = 100 * SECOND

    def image(self, solids: list[Sphere]) -> PosedImage:
        self.stamp_ns += SECOND
        return render(solids, look_at((0.45, 0.1, 0.45), (0.0, 0.0, 0.02)), stamp_ns=self.stamp_ns)

    def keeps(self, solids: list[Sphere], surface: SurfaceMap, looks: int = 4) -> int:
        """Return how many of some frames become keyframes."""
        kept = 0
        for _ in range(looks):
            image = self.image(solids)
            if self.sentry.wants(image, surface):
                self.sentry.kept(image)
                kept += 1
        return kept


def test_a_thing_taken_away_and_put_back_in_the_same_place_is_told_again(full: SurfaceMap, empty: SurfaceMap) -> None:
    camera = Camera()
    assert camera.keeps([BALL], full) == 0
    assert camera.keeps([], full) == 1
    assert camera.keeps([], empty) == 0  # relearned
    assert camera.keeps([BALL], empty) == 1
    assert camera.keeps([BALL], full) == 0
    assert camera.keeps([], full) == 1


def test_a_frame_that_could_not_be_embedded_leaves_the_change_to_be_told_by_the_next(full: SurfaceMap) -> None:
    camera = Camera()
    camera.keeps([BALL], full)
    wanted = [camera.sentry.wants(camera.image([]), full) for _ in range(4)]
    assert wanted == [False, True, True, True]
    assert camera.keeps([], full) == 1


def test_a_clock_that_jumps_back_does_not_blind_it(full: SurfaceMap) -> None:
    camera = Camera()
    assert camera.keeps([], full) == 1
    camera.sentry.evidence.clear()
    camera.stamp_ns = 10 * SECOND
    assert camera.keeps([BALL], full) == 0
    assert camera.keeps([], full) == 1
    assert all(glance.stamp_ns < 20 * SECOND for glance in camera.sentry.evidence)
