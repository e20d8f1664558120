# SPDX-License-Identifier: Apache-2.0
"""A recording's images are what the camera saw, from where it was: the same as the node would have built."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from bags import (
    BEGIN_NS,
    FRAME,
    FRAMES,
    PERIOD_NS,
    Entry,
    camera_entries,
    odometry_entries,
    pose_entries,
    transform_entries,
    views,
    write_bag,
)

from lerf_ros.apps.recordings import read_bag
from lerf_ros.config import Config, from_flat
from lerf_ros.data.bag_topics import Wanted
from lerf_ros.errors import DatasetError

POSES = {"tf": transform_entries, "pose": pose_entries, "odometry": odometry_entries}


@pytest.mark.parametrize("source", POSES)
def test_every_image_is_posed_as_it_was_taken(tmp_path: Path, source: str) -> None:
    path = write_bag(tmp_path / "bag", camera_entries() + POSES[source]())
    found = read_bag(path, Wanted(), Config(), 100)
    assert found.dropped == {}
    assert len(found.images) == FRAMES
    for image, truth in zip(found.images, views(), strict=True):
        assert image.stamp_ns == truth.stamp_ns
        assert image.camera == FRAME
        np.testing.assert_array_equal(image.rgb, truth.rgb)
        np.testing.assert_allclose(image.T_world_cam, truth.T_world_cam, atol=1e-9)
        assert image.depth_m is not None
        assert truth.depth_m is not None
        np.testing.assert_allclose(image.depth_m, np.where(truth.depth_m < 5, truth.depth_m, 0), atol=6e-4)


def test_the_least_telling_views_are_left_out_when_there_are_more_than_asked_for(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag", camera_entries() + transform_entries())
    some = read_bag(path, Wanted(), Config(), 4).images
    assert len(some) == 4
    assert [image.stamp_ns for image in some] == sorted(image.stamp_ns for image in some)
    far = from_flat({"keyframes.min_translation_m": 0.9, "keyframes.min_rotation_rad": 3.1})
    assert 1 < len(read_bag(path, Wanted(), far, 100).images) < FRAMES


def late(seconds: float) -> list[Entry]:
    return [(at + int(seconds * 1e9), topic, message) for at, topic, message in transform_entries()]


def test_transforms_are_waited_for_as_long_as_the_node_waits(tmp_path: Path) -> None:
    """They come 0.12 s after their stamps as it is; images wait for half a second."""
    path = write_bag(tmp_path / "bag", camera_entries() + late(0.3))
    assert len(read_bag(path, Wanted(), Config(), 100).images) == FRAMES
    path = write_bag(tmp_path / "later", camera_entries() + late(1.0))
    with pytest.raises(DatasetError, match="tf_extrapolation"):
        read_bag(path, Wanted(), Config(), 100)
    patient = from_flat({"input.tf_timeout_s": 2.0})
    assert len(read_bag(path, Wanted(), patient, 100).images) == FRAMES


def test_images_without_a_pose_are_dropped_and_counted(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag", camera_entries() + transform_entries()[FRAMES // 2 :])
    found = read_bag(path, Wanted(), Config(), 100)
    assert sum(found.dropped.values()) == FRAMES // 2
    assert found.images[0].stamp_ns == BEGIN_NS + FRAMES // 2 * PERIOD_NS


def test_when_no_image_can_be_used_the_reason_is_told(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag", camera_entries() + transform_entries())
    with pytest.raises(DatasetError, match=r"10 because \(tf_unknown_frame\) no transform names the frame 'the_moon'"):
        read_bag(path, Wanted(), from_flat({"input.world_frame": "the_moon"}), 100)
    apart = [(at, topic, m) for at, topic, m in camera_entries() if topic != "/camera/color/camera_info"]
    early = [e for e in camera_entries() if e[1] == "/camera/color/camera_info"][:1]
    early[0][2].header.stamp.sec -= 60
    path = write_bag(tmp_path / "apart", apart + early + transform_entries())
    with pytest.raises(DatasetError, match="no image on /camera/color/image_raw has the stamp"):
        read_bag(path, Wanted(), Config(), 100)


def test_depth_is_left_out_when_it_is_not_wanted(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag", camera_entries() + transform_entries())
    found = read_bag(path, Wanted(use_depth=False), dataclasses.replace(Config()), 100)
    assert len(found.images) == FRAMES
    assert found.images[0].depth_m is None
