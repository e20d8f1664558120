# SPDX-License-Identifier: Apache-2.0
"""The motion gate and the keyframe store against moves worked out by hand."""

import numpy as np
import pytest

from lerf_ros.config import KeyframeConfig
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import Keyframe, KeyframeStore, MotionGate, PosedImage
from lerf_ros.errors import DepthError, ImageError, PoseError

CAMERA = Intrinsics(8, 6, 5.0, 5.0, 3.5, 2.5)
GATE = KeyframeConfig(min_translation_m=0.05, min_rotation_rad=0.1)


def image(x: float = 0.0, turn: float = 0.0, camera: str = "a") -> PosedImage:
    T = np.eye(4)
    T[0, 3] = x
    T[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    return PosedImage(0, np.zeros((6, 8, 3), np.uint8), None, CAMERA, T, camera)


def accept(gate: MotionGate, frame: PosedImage) -> bool:
    """What the mapper does with a frame that can be embedded."""
    moved = gate.has_moved(frame)
    if moved:
        gate.remember(frame)
    return moved


def test_gate_takes_the_first_then_waits_for_a_move_or_a_turn_since_the_last_taken() -> None:
    gate = MotionGate(GATE)
    moves = [(0.0, 0.0), (0.04, 0.0), (0.051, 0.0), (0.09, 0.0), (0.051, 0.11), (0.051, 0.15)]
    assert [accept(gate, image(x, turn)) for x, turn in moves] == [True, False, True, False, True, False]


def test_gate_keeps_cameras_apart_and_forgets_on_reset() -> None:
    gate = MotionGate(GATE)
    assert accept(gate, image(camera="a"))
    assert accept(gate, image(camera="b"))
    assert not accept(gate, image(camera="a"))
    gate.reset()
    assert accept(gate, image(camera="a"))


def test_store_evicts_the_most_redundant_never_the_newest() -> None:
    store = KeyframeStore(3)
    for i, x in enumerate((0.0, 1.0, 1.01)):
        assert store.add(Keyframe(i, image(x), None)) is None
    evicted = store.add(Keyframe(3, image(2.0), None))
    assert evicted is not None
    assert evicted.id in (1, 2)
    store.add(Keyframe(4, image(2.0), None))  # as near as can be to keyframe 3: that one goes, not the new one
    assert [frame.id for frame in store.view()][-1] == 4
    assert 3 not in [frame.id for frame in store.view()]


def test_a_view_does_not_change_and_every_change_counts() -> None:
    store = KeyframeStore(10)
    store.add(Keyframe(0, image(), None))
    view, version = store.view(), store.version
    store.add(Keyframe(1, image(1.0), None))
    assert len(view) == 1
    assert store.version == version + 1
    store.clear()
    assert store.view() == ()


def test_an_image_that_contradicts_its_intrinsics_is_refused() -> None:
    with pytest.raises(ImageError, match="8 x 6"):
        PosedImage(0, np.zeros((7, 8, 3), np.uint8), None, CAMERA, np.eye(4))
    with pytest.raises(DepthError, match="registered"):
        PosedImage(0, np.zeros((6, 8, 3), np.uint8), np.zeros((3, 4), np.float32), CAMERA, np.eye(4))
    with pytest.raises(PoseError):
        PosedImage(0, np.zeros((6, 8, 3), np.uint8), None, CAMERA, np.full((4, 4), np.nan))
