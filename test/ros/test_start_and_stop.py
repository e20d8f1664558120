# SPDX-License-Identifier: Apache-2.0
"""How the node starts, refuses to start, and ends; and a recorded capture replayed to it from another process."""

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from ros.lerf_client import DEPTH_M, INTRINSICS, LerfClient, floor
from ros.managing import Manager
from ros.test_node import SMALL
from ros_processes import Program, lerf_node, wait_until
from tiny_clip_model import write_model

from lerf_ros.msg import QueryResult

pytestmark = pytest.mark.ros
REPLAY = "import sys, typer; from lerf_ros.apps.replay import run; typer.run(run)"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_model(tmp_path_factory.mktemp('encoder') / 'tiny')}"


def write_capture(folder: Path, frames: int) -> Path:
    """Write what a camera 0.6 m above the checkered floor sees while it moves along x, in nerfstudio's layout."""
    (folder / "images").mkdir(parents=True)
    entries = []
    for n in range(frames):
        x = 0.1 * n - 0.2
        cv2.imwrite(str(folder / f"images/{n}.png"), floor(x, 0.0)[..., ::-1])
        cv2.imwrite(str(folder / f"images/{n}_depth.png"), np.full((48, 64), DEPTH_M * 1000, np.uint16))
        entries.append(
            {
                "file_path": f"images/{n}.png",
                "depth_file_path": f"images/{n}_depth.png",
                "timestamp": 0.4 * n,
                "transform_matrix": [[1, 0, 0, x], [0, 1, 0, 0], [0, 0, 1, DEPTH_M], [0, 0, 0, 1]],  # OpenGL looks down
            }
        )
    i = INTRINSICS
    camera = {"w": i.width, "h": i.height, "fl_x": i.fx, "fl_y": i.fy, "cx": i.cx, "cy": i.cy}
    (folder / "transforms.json").write_text(json.dumps({**camera, "frames": entries}))
    return folder


@contextlib.contextmanager
def client() -> Iterator[LerfClient]:
    made = LerfClient()
    try:
        yield made
    finally:
        made.destroy_node()


@pytest.mark.parametrize("pose", ["tf", "pose"])
def test_a_replayed_capture_is_mapped_frame_by_frame_and_the_node_ends_cleanly(
    ros: Path, encoder: str, tmp_path: Path, pose: str
) -> None:
    """Poses by /tf with stamps of now; or by topic with the recorded stamps, which are long past."""
    capture = write_capture(tmp_path / "capture", 5)
    parameters = {**SMALL, "encoder.model": encoder, "input.pose_source": pose, "input.max_age_s": 0.0}
    arguments = [] if pose == "tf" else ["--pose-topic", "--stamps", "recorded"]
    with (
        lerf_node(tmp_path / "node.log", parameters) as node,
        Program([sys.executable, "-c", REPLAY, str(capture), "--json", *arguments], tmp_path / "replay.log") as replay,
        client() as asker,
    ):
        assert replay.wait(60) == 0, replay.output
        assert json.loads(replay.output) == {"published": 5, "frames": 5}
        wait_until(lambda: asker.next_status().keyframes == 5, f"five keyframes: {node.output}")
        assert asker.drops() == {}
        assert asker.status.frames_received == 5
        wait_until(lambda: asker.next_status().snapshot_step >= 5, "a snapshot")
        wait_until(lambda: asker.ask(prompts=["a"]).results[0].status != QueryResult.NOT_READY, "an answer")
        stop = signal.SIGINT if pose == "tf" else signal.SIGTERM
        assert node.stop(stop) == 0, node.output
        assert "Traceback" not in node.output


@pytest.mark.parametrize("word", ["warming up", "mapping in frame"])
def test_a_signal_in_the_middle_of_the_start_ends_it_cleanly(ros_environment: Path, encoder: str, word: str) -> None:
    """Its threads run from the last line of the constructor on; KeyboardInterrupt just then once left it hanging."""
    with lerf_node(ros_environment / "early.log", {**SMALL, "encoder.model": encoder}) as node:
        wait_until(lambda: not node.alive or word in node.output, word, 60)
        node.process.send_signal(signal.SIGINT)
        assert node.wait(15) == 0, node.output
        assert "Traceback" not in node.output
        assert "cannot" not in node.output


def test_what_it_cannot_start_with_ends_it_with_a_reason(ros_environment: Path) -> None:
    cases = [
        ({"train.rayz": 100}, "unknown parameter 'train.rayz'; did you mean 'train.rays'"),
        ({"train.rays": 1}, "train.rays = 1 is out of range"),
        ({"encoder.model": "local-dir:/nowhere"}, "/nowhere"),
        ({"runtime.threads": 0}, "runtime.threads = 0 is out of range"),
        ({"runtime.max_cpu_fraction": 0.0}, "to stop it, call ~/set_training"),
        ({"runtime.max_cpu_fraction": 1.5}, "runtime.max_cpu_fraction = 1.5 is out of range"),
    ]
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(lerf_node(ros_environment / f"start{n}.log", parameters))
            for n, (parameters, _) in enumerate(cases)
        ]
        for program, (_, text) in zip(programs, cases, strict=True):
            assert program.wait(60) == 2, program.output
            assert "lerf cannot start: " in program.output
            assert text in program.output
            assert "Traceback" not in program.output


def test_a_parameter_file_it_cannot_take_ends_it_with_a_reason(ros_environment: Path, tmp_path: Path) -> None:
    head = "/**/lerf:\n  ros__parameters:\n"
    cases = {
        "not there": (None, "Couldn't parse params file"),
        "no YAML": (head + "    train: [1, 2\n", "Couldn't parse params file"),
        "no value": (head + "    train:\n      rays:\n", "Couldn't parse params file"),
        "mixed list": (head + "    workspace:\n      min_m: [0.0, here, 1.0]\n", "Couldn't parse params file"),
        "unknown name": (head + "    train:\n      rayz: 5\n", "did you mean 'train.rays'"),
        "a list for a number": (head + "    train:\n      rays: []\n", "train.rays = [] must be of type int"),
        "prompts": (head + f"    outputs:\n      prompts: {[f'thing {n}' for n in range(200)]}\n", "200 phrases"),
    }
    code = "import sys; from lerf_ros.ros.node import main; sys.exit(main())"
    with contextlib.ExitStack() as stack:
        programs = {}
        for name, (text, _) in cases.items():
            file = tmp_path / f"{name}.yaml"
            if text is not None:
                file.write_text(text)
            command = [sys.executable, "-c", code, "--ros-args", "--params-file", str(file)]
            programs[name] = stack.enter_context(Program(command, tmp_path / f"{name}.log"))
        for name, program in programs.items():
            assert program.wait(60) == 2, program.output
            assert "lerf cannot start: " in program.output
            assert cases[name][1] in program.output
            assert "Traceback" not in program.output


def test_two_cameras_on_one_topic_are_refused(ros_environment: Path, encoder: str) -> None:
    parameters = {**SMALL, "encoder.model": encoder, "input.cameras": ["left", "right"]}
    with lerf_node(ros_environment / "one_topic.log", parameters, ["left/image:=right/image"]) as program:
        assert program.wait(60) == 2, program.output
        last = program.output.splitlines()[-1]
        assert last.startswith("lerf cannot start: ")
        assert "/right/image" in last
        assert "Traceback" not in program.output


def test_the_file_of_all_defaults_is_taken(ros: Path, tmp_path: Path) -> None:
    """Its empty lists are what ROS has no type for."""
    file = Path(__file__).parents[2] / "config" / "lerf.yaml"
    assert ": []" in file.read_text()
    code = "import sys; from lerf_ros.ros.node import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "--ros-args", "--params-file", str(file), "-p", "runtime.autostart:=false",
               "-p", "input.cameras:=[]"]  # fmt: skip
    manager = Manager()
    with Program(command, tmp_path / "defaults.log") as program:
        manager.wait_ready(program)
        assert manager.get("input.cameras") == [[]]
        assert manager.state() == "unconfigured"
        assert program.stop() == 0, program.output
    manager.destroy_node()


def test_replay_says_what_is_wrong(ros_environment: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    lonely = write_capture(tmp_path / "lonely", 1)
    with (
        Program([sys.executable, "-c", REPLAY, str(empty)], tmp_path / "a.log") as without_file,
        Program([sys.executable, "-c", REPLAY, str(lonely), "--wait-s", "0.2"], tmp_path / "b.log") as without_node,
    ):
        assert without_file.wait(40) == 1
        assert "transforms.json" in without_file.output
        assert without_node.wait(40) == 1
        assert "is the node running?" in without_node.output
        assert "Traceback" not in without_file.output + without_node.output
