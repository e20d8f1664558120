# SPDX-License-Identifier: Apache-2.0
"""A bag played with /clock, over real DDS: the node goes by the recording's time, and maps what was recorded."""

import sys
from pathlib import Path

import pytest
import rclpy
from bags import BEGIN_NS, FRAMES, camera_entries, transform_entries, write_bag
from rclpy.node import Node
from ros_processes import Program, lerf_node, wait_until
from tiny_clip_model import write_model
from typer.testing import CliRunner

from lerf_ros.apps.cli import app
from lerf_ros.msg import Status

pytestmark = pytest.mark.ros
S = 1_000_000_000


class Watcher(Node):
    """Keeps the newest status of the node."""

    def __init__(self) -> None:
        super().__init__("watcher")
        self.status = Status()
        self.stamps: list[int] = []
        self.create_subscription(Status, "/lerf/status", self._on_status, 10)

    def _on_status(self, status: Status) -> None:
        self.status = status
        self.stamps.append(status.header.stamp.sec * S + status.header.stamp.nanosec)

    def spin(self) -> bool:
        rclpy.spin_once(self, timeout_sec=0.1)
        return True

    @property
    def went_back(self) -> bool:
        """Whether the node's time has jumped back from the end of the recording to its beginning."""
        past = [n for n, stamp in enumerate(self.stamps) if stamp > BEGIN_NS + S]
        return any(BEGIN_NS <= stamp < BEGIN_NS + S // 2 for stamp in self.stamps[past[0] :]) if past else False


def test_a_node_on_simulated_time_maps_a_bag_and_bears_its_start_again(ros: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", camera_entries() + transform_entries())
    model = write_model(tmp_path / "model")
    parameters = {
        "use_sim_time": True, "encoder.model": f"local-dir:{model}", "field.levels": 4, "field.log2_table": 12,
        "field.language_log2_table": 10, "train.rays": 64, "train.language_rays": 64, "runtime.idle_steps": 20,
        "runtime.status_period_s": 0.1, "input.max_age_s": 2.0, "input.reliability": "reliable",
        "input.use_depth": True,
    }  # fmt: skip
    watcher = Watcher()
    play = [sys.executable, "-m", "lerf_ros", "replay", str(bag), "--clock", "--loop", "--rate", "0.7"]
    with lerf_node(ros / "sim_time.log", parameters) as node, Program(play, ros / "replay.log") as player:
        try:
            wait_until(lambda: watcher.spin() and watcher.status.keyframes >= FRAMES - 1, "keyframes", 60)
            wait_until(lambda: watcher.spin() and watcher.went_back, "the jump back in time", 30)
            before = watcher.status.frames_received
            wait_until(lambda: watcher.spin() and watcher.status.frames_received > before + 3, "images after it", 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{watcher.status}\n{node.output}\n{player.output}") from None
        status = watcher.status
        drops = dict(zip(status.drop_causes, status.drop_counts, strict=True))
        assert drops.get("stamp_too_old", 0) == 0
        assert drops.get("stamp_in_future", 0) == 0
        assert status.fault == ""
        assert BEGIN_NS - S < watcher.stamps[-1] < BEGIN_NS + 5 * S, "the node goes by the recording's time"
        assert node.alive
        assert player.stop() == 0
        assert "published" in player.output
    watcher.destroy_node()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("--image", "/nope"), "has no topic /nope"), (("--wait-s", "0.2"), "nobody subscribed")],
)
def test_what_is_wrong_is_said_in_one_line(ros: Path, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    bag = write_bag(tmp_path / "bag", camera_entries() + transform_entries())
    with Program([sys.executable, "-m", "lerf_ros", "replay", str(bag), *arguments], tmp_path / "log") as player:
        assert player.wait(30) == 1
        assert says in player.output
        assert "Traceback" not in player.output


def test_clock_is_for_bags(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["replay", str(tmp_path), "--clock"])
    assert result.exit_code == 1
    assert "--clock is for bags" in result.stderr
