# SPDX-License-Identifier: Apache-2.0
"""What the mapping loop drives."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lerf_ros.core.keyframes import Keyframe, PosedImage
    from lerf_ros.core.snapshot import FieldSnapshot
    from lerf_ros.core.trainer import StepReport


class Mapper(Protocol):
    """A map that grows; `lerf_ros.core.mapper.LerfMapper` is the real one."""

    def prepare(self, image: "PosedImage") -> "Keyframe | None":
        """Encoder thread: gate and pyramid; None if the camera has not moved enough."""

    def add(self, keyframe: "Keyframe") -> None:
        """Trainer thread: take a keyframe into the map."""

    def step(self) -> "StepReport":
        """Trainer thread: one optimisation step."""

    def publish(self) -> "FieldSnapshot | None":
        """Trainer thread: freeze the map; None before the first keyframe."""

    def set_threads(self, n: int) -> None:
        """Trainer thread: use `n` CPU threads from now on."""

    def release(self) -> None:
        """Trainer thread: give back what only training needs. What follows makes it anew."""

    @property
    def keyframe_step(self) -> int:
        """Training step at which the last keyframe came."""

    @property
    def keyframe_count(self) -> int:
        """Keyframes in the map."""

    @property
    def step_count(self) -> int:
        """Training steps done."""
