# SPDX-License-Identifier: Apache-2.0
"""A mapper without a field: deterministic, for tests of threads only."""

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import Keyframe, PosedImage


def posed_image(stamp_ns: int) -> PosedImage:
    return PosedImage(
        stamp_ns=stamp_ns,
        rgb=np.zeros((2, 3, 3), np.uint8),
        depth_m=None,
        intrinsics=Intrinsics(3, 2, 3.0, 3.0, 1.0, 0.5),
        T_world_cam=np.eye(4),
    )


@dataclass(frozen=True)
class FakeSnapshot:
    step: int
    keyframes: tuple[int, ...]
    stamp_ns: int


@dataclass(frozen=True)
class FakeReport:
    step: int
    skipped: int = 0


@dataclass
class FakeMapper:
    """Odd stamps have not moved; `fail_prepare`, `fail_step` and `fail_publish` raise what they hold."""

    fail_prepare: BaseException | None = None
    fail_step: BaseException | None = None
    fail_publish: BaseException | None = None
    step_gate: threading.Event = field(default_factory=threading.Event)
    threads: list[int] = field(default_factory=list)
    owners: set[str] = field(default_factory=set)
    keyframes: list[int] = field(default_factory=list)
    step_count: int = 0
    skipped: int = 0
    keyframe_step: int = 0
    released_at: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.step_gate.set()

    @property
    def keyframe_count(self) -> int:
        return len(self.keyframes)

    def prepare(self, image: PosedImage) -> Keyframe | None:
        if self.fail_prepare is not None:
            raise self.fail_prepare
        return None if image.stamp_ns % 2 else Keyframe.of(image.stamp_ns, image)

    def add(self, keyframe: Keyframe) -> None:
        self.owners.add(threading.current_thread().name)
        self.keyframes.append(keyframe.id)

    def step(self) -> Any:
        self.step_gate.wait(20)
        self.owners.add(threading.current_thread().name)
        if self.fail_step is not None:
            raise self.fail_step
        self.step_count += 1
        return FakeReport(self.step_count, self.skipped)

    def publish(self) -> Any:
        self.owners.add(threading.current_thread().name)
        if self.fail_publish is not None:
            raise self.fail_publish
        return FakeSnapshot(self.step_count, tuple(self.keyframes), max(self.keyframes))

    def set_threads(self, n: int) -> None:
        self.threads.append(n)

    def release(self) -> None:
        self.owners.add(threading.current_thread().name)
        self.released_at.append(self.step_count)
