# SPDX-License-Identifier: Apache-2.0
"""Faults on purpose over real DDS: the node names each in its status, and takes it back when it is mended."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ros.lerf_client import LerfClient
from ros.scanning_camera import SMALL, Camera
from ros_processes import Program, lerf_node, wait_until
from tiny_clip_model import write_model

from lerf_ros.ros.selfcheck.axes import BODY

pytestmark = pytest.mark.ros
@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_model(tmp_path_factory.mktemp('encoder') / 'tiny')}"


@pytest.fixture(scope="module")
def running(ros: Path, encoder: str) -> Iterator[tuple[Program, Camera]]:
    client = LerfClient()
    with lerf_node(ros / "selfcheck.log", {**SMALL, "encoder.model": encoder}) as program:
        try:
            client.wait_ready()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{program.output}") from None
        yield program, Camera(client)
        assert "Traceback" not in program.output
    client.destroy_node()


def test_a_good_stream_gives_no_warning(running: tuple[Program, Camera]) -> None:
    _, camera = running
    sent = 0

    def enough() -> bool:
        nonlocal sent
        camera.send()
        sent += 1
        assert list(camera.client.next_status().warnings) == []
        return sent >= 40 and camera.client.status.keyframes > 8

    wait_until(enough, "40 frames and some keyframes", 40)


FAULTS = {
    "frame_not_optical": {"turned": BODY.T},
    "depth_unit_encoding": {"integers_of_metres": True},
    "colour_order_suspected": {"swapped": True},
    "image_frozen": {"rgb": np.full((48, 64, 3), 90, np.uint8)},
    "clock_skew": {"late_s": 3.0},
    "stamps_zero": {"unstamped": True},
    "image_size": {"size": (24, 64)},
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_until_it_is_mended(running: tuple[Program, Camera], name: str) -> None:
    program, camera = running
    camera.until(lambda names: name in names, f"a warning of {name}", **FAULTS[name])
    camera.until(lambda names: name not in names, f"{name} cured")
    wait_until(lambda: camera.client.next_status() and f"{name}: cured" in program.output, "the log says so")
