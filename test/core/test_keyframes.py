# SPDX-License-Identifier: Apache-2.0
"""The motion gate and the keyframe store against moves worked out by hand."""

import dataclasses

import numpy as np
import pytest

from lerf_ros.config import KeyframeConfig
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import KeptImage, Keyframe, KeyframeStore, MotionGate, PosedImage
from lerf_ros.core.redundancy import Redundancy
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
        assert store.add(Keyframe.of(i, image(x))) is None
    evicted = store.add(Keyframe.of(3, image(2.0)))
    assert evicted is not None
    assert evicted.id in (1, 2)
    store.add(Keyframe.of(4, image(2.0)))  # as near as can be to keyframe 3: that one goes, not the new one
    assert [frame.id for frame in store.view()][-1] == 4
    assert 3 not in [frame.id for frame in store.view()]


def slow_most_redundant(poses: list[np.ndarray]) -> int:
    """Every pose against every other one, as defined."""
    best, found = np.inf, -1
    for i, a in enumerate(poses[:-1]):
        for j, b in enumerate(poses):
            turn = np.arccos(np.clip((np.trace(a[:3, :3].T @ b[:3, :3]) - 1) / 2, -1, 1))
            apart = np.linalg.norm(a[:3, 3] - b[:3, 3]) + turn / 3
            if i != j and apart < best:
                best, found = apart, i
    return found


def test_redundancy_is_that_of_comparing_all_with_all() -> None:
    rng = np.random.default_rng(4)
    redundancy, poses = Redundancy(), []
    for step in range(120):
        pose = image(rng.uniform(0, 1), rng.uniform(0, 1)).T_world_cam
        pose[1, 3] = rng.uniform(0, 0.2)
        redundancy.add(pose)
        poses.append(pose)
        if len(poses) > 12:
            k = redundancy.most_redundant()
            # two that are each other's nearest are equally redundant: rounding decides, and both are right
            pair = {k, slow_most_redundant(poses)}
            assert len(pair) == 1 or k == redundancy.nearest(slow_most_redundant(poses)), step
            other = int(rng.integers(0, len(poses))) if step % 3 == 0 else k  # any other one may be taken out, too
            redundancy.remove(other)
            del poses[other]
    assert len(redundancy) == 12


def test_what_a_keyframe_keeps_is_what_came_in() -> None:
    depth = np.array([[0.5, 0.0, 1.234], [np.nan, -1.0, np.inf]], np.float32)
    mask = np.array([[True, True, False], [False, True, True]])
    camera = Intrinsics(3, 2, 5.0, 5.0, 1.0, 0.5)
    rgb = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    came = PosedImage(7, rgb, depth, camera, np.eye(4), "wrist", mask)
    kept = Keyframe.of(1, came).image
    assert (kept.stamp_ns, kept.camera, kept.intrinsics) == (7, "wrist", camera)
    assert kept.rgb is rgb
    assert kept.depth_m is not None
    assert kept.depth_m.tolist() == [[0.5, 0.0, pytest.approx(1.234)], [0.0, 0.0, 0.0]]
    assert kept.mask is not None
    assert (kept.mask == mask).all()
    plain = KeptImage.of(dataclasses.replace(came, depth_m=None, mask=np.ones((2, 3), bool)))
    assert (plain.depth, plain.depth_m, plain.bits, plain.mask) == (None, None, None, None)


def test_a_view_does_not_change_and_every_change_counts() -> None:
    store = KeyframeStore(10)
    store.add(Keyframe.of(0, image()))
    view, version = store.view(), store.version
    store.add(Keyframe.of(1, image(1.0)))
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


def test_store_replaces_keyframes_where_they_are() -> None:
    store = KeyframeStore(5)
    frames = [Keyframe.of(i, image(float(i))) for i in range(3)]
    for frame in frames:
        store.add(frame)
    before, version = store.view(), store.version
    other = dataclasses.replace(frames[1], image=dataclasses.replace(frames[1].image, stamp_ns=7))
    store.replace([other])
    assert [frame.id for frame in store.view()] == [0, 1, 2]
    assert store.view()[1] is other
    assert before[1] is frames[1]
    assert store.version == version + 1
    with pytest.raises(KeyError, match="9"):
        store.replace([frames[1], dataclasses.replace(other, id=9)])
    assert store.view()[1] is other
