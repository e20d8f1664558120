# SPDX-License-Identifier: Apache-2.0
"""`demo`: the embedded default end to end, judged against the truth of the scene."""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lerf_ros.apps.terminal import fail

if TYPE_CHECKING:
    from collections.abc import Callable

    from lerf_ros.demo.processes import Process
    from lerf_ros.demo.session import Session
    from lerf_ros.sim.spec import SceneSpec

PRESENT_WANTED, ABSENT_WANTED = 6, 3
READY_TIMEOUT_S = 90.0


def run(
    seed: Annotated[int, typer.Option(min=0, help="Which scene")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the report, pictures, clouds and logs")] = Path("out/demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object")] = False,
) -> None:
    """A simulated arm looks around, the node maps and answers, the arm lifts what was asked for.

    Starts the robot and the node as processes of their own, talks to them through ROS, and judges every answer against
    the truth of the scene. Exit code 0: at least 6 present phrases found at the right place, an absent one of each kind
    rejected, and one object lifted 8 cm and held 2 s.
    """
    from rclpy.executors import ExternalShutdownException

    from lerf_ros.errors import LerfError

    began = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
        report = _run(seed, out, began)
        (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except (LerfError, OSError, RuntimeError, ValueError) as error:
        raise fail("demo", str(error)) from error
    except (KeyboardInterrupt, ExternalShutdownException) as stop:
        raise typer.Exit(130) from stop
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        _show(report, out)
    if not report["passed"]:
        raise typer.Exit(1)


def _run(seed: int, out: Path, began: float) -> dict[str, Any]:
    from lerf_ros.demo import processes
    from lerf_ros.demo.processes import Process

    domain = processes.free_domain()
    env = processes.environment(domain, out / "logs")
    os.environ.update({name: env[name] for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR")})
    from lerf_ros.demo.scenes import OBJECTS, demo_scene
    from lerf_ros.ros.transport import share_file, use_profile

    use_profile()
    spec = demo_scene(seed)
    _say(f"starting robot and node (ROS_DOMAIN_ID {domain}, logs in {out / 'logs'})")
    running: list[Process] = []
    try:
        running.append(processes.start_node(share_file("config", "sim_arm.yaml"), env, out / "logs"))

        def start_robot() -> Process:
            running.append(processes.start_robot(spec.seed, OBJECTS, env, out / "logs"))
            return running[-1]

        return _talk(seed, spec, out, began, running[0], start_robot)
    finally:
        for process in running[::-1]:
            process.stop()


def _talk(
    seed: int, spec: "SceneSpec", out: Path, began: float, node: "Process", start_robot: "Callable[[], Process]"
) -> dict[str, Any]:
    import rclpy

    from lerf_ros.demo.client import DemoClient
    from lerf_ros.demo.gallery import write_clouds, write_overview, write_pictures
    from lerf_ros.demo.judge import Judge
    from lerf_ros.demo.questions import questions
    from lerf_ros.demo.session import Session
    from lerf_ros.sim.scene import build

    judge = Judge(build(spec))
    asked = questions(judge.scene.spec)
    rclpy.init()
    client = DemoClient()
    try:
        client.wait_node(READY_TIMEOUT_S, node.check)
        robot = start_robot()  # only now: what is timed from the first image on is mapping, not the node's start

        def check() -> None:
            node.check()
            robot.check()

        client.wait_ready(READY_TIMEOUT_S, check)
        session = Session(client, judge, check, _say)
        _say(f"on the table: {', '.join(o.name for o in judge.scene.spec.objects)}")
        _say("the arm looks around; the field trains on what it sees")
        session.scan(asked)
        session.settle(asked)
        _say(f"asking {len(asked)} phrases")
        session.ask_all(asked)
        pictures = write_pictures(session, out)
        write_clouds(session, out)
        session.grasp_one(asked)
        write_overview(pictures, session, out)
        return _report(session, seed, node.peak_rss_mb(), time.monotonic() - began)
    finally:
        client.destroy_node()
        rclpy.try_shutdown()


def _report(session: "Session", seed: int, node_rss_mb: float, wall_s: float) -> dict[str, Any]:
    import numpy as np

    story = session.story
    times = [row.query_ms for row in story.phrases]
    present = [row for row in story.phrases if row.expected == "FOUND"]
    absent = [row for row in story.phrases if row.expected == "NOT_FOUND"]
    kinds = {row.kind for row in absent}
    rejected = {row.kind for row in absent if row.right}
    lifted = any(row.lifted for row in story.grasps)
    found = sum(row.right for row in present)
    passed = found >= PRESENT_WANTED and len(rejected) >= ABSENT_WANTED and rejected == kinds and lifted
    status = session.client.status
    return {
        "seed": seed,
        "passed": passed,
        "objects": [item.name for item in session.judge.scene.spec.objects],
        "present_right": found,
        "present_asked": len(present),
        "absent_right": sum(row.right for row in absent),
        "absent_asked": len(absent),
        **story.as_dict(),
        "first_image_to_first_correct_answer_s": story.first_correct_s,
        "query_ms_p50": round(float(np.median(times)), 2),
        "query_ms_p95": round(float(np.quantile(times, 0.95)), 2),
        "lifted": lifted,
        "keyframes": int(status.keyframes),
        "training_steps": int(status.step),
        "dropped": dict(zip(status.drop_causes, map(int, status.drop_counts), strict=True)),
        "encoder": status.encoder,
        "scan_s": round(story.scan_s, 1),
        "node_peak_rss_mb": round(node_rss_mb, 1),
        "wall_s": round(wall_s, 1),
    }


def _show(report: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("phrase", "kind", "expected", "answer", "p", "error", "", title=f"scene {report['seed']}")
    for row in report["phrases"]:
        error = "" if row["error_m"] is None else f"{100 * row['error_m']:.1f} cm"
        mark = "[green]right[/]" if row["right"] else "[red]wrong[/]"
        table.add_row(
            row["phrase"], row["kind"], row["expected"], row["status"], f"{row['probability']:.2f}", error, mark
        )
    console = Console()
    console.print(table)
    first = report["first_image_to_first_correct_answer_s"]
    console.print(
        f"present {report['present_right']}/{report['present_asked']}, absent {report['absent_right']}/"
        f"{report['absent_asked']}, lifted: {report['lifted']}; first right answer after "
        f"{'-' if first is None else f'{first:.1f}'} s; query {report['query_ms_p50']:.0f} ms (p95 "
        f"{report['query_ms_p95']:.0f}); {report['keyframes']} keyframes, {report['training_steps']} steps; node "
        f"{report['node_peak_rss_mb']:.0f} MB; {report['wall_s']:.0f} s in all"
    )
    console.print(f"encoder: {report['encoder']}; report, pictures and clouds in {out}/")


def _say(text: str) -> None:
    sys.stderr.write(f"[demo] {text}\n")
