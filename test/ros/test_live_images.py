# SPDX-License-Identifier: Apache-2.0
"""A picture is shown as live only while its camera sends some, whatever stamps say."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lerf_ros.config import from_flat
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.ros.outputs import heat_output
from lerf_ros.ros.outputs.heat_output import HeatOutput
from lerf_ros.ros.outputs.live_images import LiveImages
from lerf_ros.ros.settings import Settings


def image(stamp_ns: int, camera: str = "cam") -> PosedImage:
    return PosedImage(
        stamp_ns, np.zeros((4, 4, 3), np.uint8), None, Intrinsics(4, 4, 4.0, 4.0, 1.5, 1.5), np.eye(4), camera
    )


def test_an_image_is_live_for_as_long_as_the_time_out() -> None:
    now = [100.0]
    live, first = LiveImages(lambda: now[0]), image(1)
    live.look({"cam": first})
    now[0] += 0.9
    live.look({"cam": first})
    assert live.newest("", 1.0) is first
    assert live.newest("other", 1.0) is None
    now[0] += 0.2
    live.look({"cam": first})
    assert live.newest("", 1.0) is None, "unplugged"
    second = image(2)
    live.look({"cam": second})
    assert live.newest("cam", 1.0) is second


def test_after_a_jump_back_what_comes_last_is_newest() -> None:
    now = [100.0]
    live, dead, alive = LiveImages(lambda: now[0]), image(10**12, "dead"), image(5, "alive")
    live.look({"dead": dead})
    now[0] += 0.1
    live.look({"dead": dead, "alive": alive})
    assert live.newest("", 1.0) is alive


class Stage:
    """A heat output between stand-ins for node and worker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.step = 100.0, 0
        self.asked: list[Any] = []
        self.ingest = SimpleNamespace(newest={})
        monkeypatch.setattr(heat_output, "LiveImages", lambda: LiveImages(lambda: self.now))
        monkeypatch.setattr(heat_output, "time", SimpleNamespace(monotonic=lambda: self.now))
        publisher = SimpleNamespace(get_subscription_count=lambda: 1)
        node = SimpleNamespace(
            create_publisher=lambda *_: publisher,
            create_timer=lambda *_, **__: SimpleNamespace(),
        )
        site = SimpleNamespace(
            node=node, ingest=self.ingest, settings=Settings(from_flat({"outputs.image_timeout_s": 1.0})),
            queries=SimpleNamespace(last_phrase=""),
            loop=SimpleNamespace(snapshot=lambda: SimpleNamespace(step=self.step)),
        )  # fmt: skip
        worker = SimpleNamespace(ask=lambda _, job: self.asked.append(job.args[0].stamp_ns))
        self.output = HeatOutput(site, worker)  # type: ignore[arg-type]

    def tick(self, seconds: float) -> list[int]:
        """Let time pass and a new map come; return the stamps of what is shown."""
        self.now, self.step = self.now + seconds, self.step + 1
        self.asked.clear()
        self.output._tick()
        return list(self.asked)


def test_an_unplugged_camera_is_not_shown_again_with_each_new_map(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.output.activate()
    stage.ingest.newest = {"cam": image(7)}
    assert stage.tick(1.0) == [7]
    assert stage.tick(0.9) == [7], "still live, on a newer map"
    assert stage.tick(0.9) == []


def test_what_came_before_activation_is_not_shown_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.output.activate()
    stage.ingest.newest = {"cam": image(7)}
    assert stage.tick(1.0) == [7]
    stage.output.deactivate()
    assert stage.tick(0.1) == []
    stage.output.activate()
    assert stage.tick(0.5) == []
    stage.ingest.newest = {"cam": image(8)}
    assert stage.tick(0.5) == [8]
