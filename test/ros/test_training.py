# SPDX-License-Identifier: Apache-2.0
"""Training that is paused from another process: it stops, keyframes and queries go on; and what ~/status tells."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ros.lerf_client import LerfClient
from ros.test_node import SMALL
from ros_processes import lerf_node, wait_until
from tiny_clip_model import write_model

from lerf_ros.msg import QueryResult

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def client(ros: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LerfClient]:
    """A node that never rests, with a map of the floor."""
    model = write_model(tmp_path_factory.mktemp("encoder") / "tiny")
    parameters = {**SMALL, "encoder.model": f"local-dir:{model}", "runtime.idle_steps": 1_000_000}
    made = LerfClient()
    with lerf_node(ros / "training.log", parameters) as program:
        try:
            made.wait_ready()
            assert made.next_status().training == "waiting"
            for n in range(4):
                made.send_frame(x=0.1 * n - 0.15)
                wait_until(lambda n=n: made.next_status().keyframes > n, f"keyframe {n}")
            wait_until(lambda: made.next_status().snapshot_step >= 5, "a snapshot")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{program.output}") from None
        yield made
    made.destroy_node()


def test_paused_training_stops_and_keyframes_and_queries_go_on(client: LerfClient) -> None:
    assert client.next_status().training == "running"
    answer = client.set_training(False)
    assert answer.success, answer.message
    paused = client.next_status()
    assert paused.training == "paused"
    client.send_frame(x=0.3, y=0.1)
    wait_until(lambda: client.next_status().keyframes == paused.keyframes + 1, "a keyframe meanwhile")
    assert client.status.step == paused.step
    assert client.status.snapshot_step == paused.snapshot_step
    response = client.ask(prompts=["red mug"])
    assert response.results[0].status in (QueryResult.FOUND, QueryResult.AMBIGUOUS)
    assert response.training_step == paused.snapshot_step
    assert client.set_training(False).success, "twice is harmless"
    assert client.set_training(True).success
    wait_until(lambda: client.next_status().snapshot_step > paused.step, "training goes on")
    assert client.status.training == "running"


def test_status_tells_latencies_and_costs(client: LerfClient) -> None:
    client.send_frame(x=-0.3, y=0.2)
    wait_until(lambda: client.next_status().map_latency_s > 0, "a keyframe in a snapshot")
    status = client.status
    assert 0 < status.keyframe_latency_s < 20
    assert 0 < status.map_latency_s < 20
    assert 0 < status.callback_p95_s < 0.05, "a callback only hands over"
    assert status.steps_skipped == 0
