# SPDX-License-Identifier: Apache-2.0
"""Transforms that are refused at 100 Hz are no dropped images: what diagnostics observe keeps the two apart."""

from types import SimpleNamespace

import pytest
from geometry_msgs.msg import TransformStamped
from tf2_msgs.msg import TFMessage

from lerf_ros.config import from_flat
from lerf_ros.ros.outputs.diagnostics import Diagnostics
from lerf_ros.ros.outputs.health import Level, findings
from lerf_ros.ros.outputs.tally import QueryTally
from lerf_ros.ros.poses import inputs
from lerf_ros.ros.poses.inputs import PoseInputs
from lerf_ros.ros.poses.listeners import take_transforms
from lerf_ros.ros.poses.tf_buffer import TfBuffer
from lerf_ros.ros.selfcheck.check import SelfCheck
from lerf_ros.ros.settings import Settings
from lerf_ros.runtime.stats import LoopCounters


def test_a_publisher_of_zero_quaternions_is_a_warning_and_drops_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    counters, transforms = LoopCounters(), TfBuffer()
    loop = SimpleNamespace(
        drop=counters.drop,
        snapshot=lambda: None,
        stats=lambda: counters.read(
            keyframes=3, steps=0, mailbox_dropped=0, encoder_alive=True, trainer_alive=True, training="running"
        ),
    )
    clock = SimpleNamespace(create_jump_callback=lambda *_, **__: None)
    node = SimpleNamespace(
        get_clock=lambda: clock, create_publisher=lambda *_: None, create_timer=lambda *_, **__: None
    )
    site = SimpleNamespace(
        node=node, loop=loop, check=SelfCheck(), settings=Settings(from_flat({})), poses=transforms,
        now_ns=lambda: 0, queries=QueryTally(),
    )  # fmt: skip
    monkeypatch.setattr(inputs, "TransformListener", lambda node, source, now_ns, refuse: refuse)
    refuse = PoseInputs(site)._listeners[0]  # type: ignore[arg-type]
    diagnostics = Diagnostics(site, SimpleNamespace(unmatched={}, looks=lambda: ()))  # type: ignore[arg-type]
    diagnostics.activate()
    diagnostics._observed()
    bad = TransformStamped(child_frame_id="tool")
    bad.header.frame_id, bad.transform.rotation.w = "hand", 0.0
    for _ in range(150):
        counters.received()
        take_transforms(TFMessage(transforms=[bad]), transforms, refuse, 0, static=False)  # type: ignore[arg-type]
    look = diagnostics._observed()
    found = {each.subject: each for each in findings(look)}
    assert (look.drops, look.lately.drops) == ({}, {})
    assert found["images"].level == Level.OK
    assert found["transforms"].level == Level.WARN
    assert "150 transforms or poses refused" in found["transforms"].message
    assert "transform of 'tool'" in found["transforms"].message
    assert found["transforms"].values == {"refused: pose_not_rigid": "150"}
