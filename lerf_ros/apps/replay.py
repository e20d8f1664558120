# SPDX-License-Identifier: Apache-2.0
"""`replay`: a recorded capture or a bag as ROS topics, so that the node maps it as if a camera were there."""

import enum
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lerf_ros.data.transforms_json import Frame
    from lerf_ros.ros.capture_publisher import CapturePublisher

LINGER_S = 1.0  # what best-effort subscribers have not fetched yet is lost when this process ends


class Stamps(enum.StrEnum):
    """Which stamps the messages carry."""

    now = "now"
    recorded = "recorded"


def run(
    dataset: Annotated[Path, typer.Argument(help="Folder with a nerfstudio transforms.json, or that file; or a bag "
                                            "of ROS 2 (its folder, .db3 or .mcap)")],
    rate: Annotated[float, typer.Option(min=0.001, help="Speed: 1 as recorded, 0.5 half as fast")] = 1.0,
    holdout: Annotated[int, typer.Option(min=0, help="Leave out that many views, evenly spread, for `measure`")] = 0,
    loop: Annotated[bool, typer.Option("--loop/--once", help="Start again at the end, until interrupted")] = False,
    depth: Annotated[bool, typer.Option("--depth/--no-depth", help="Publish depth, where the capture has it")] = True,
    stamps: Annotated[
        Stamps, typer.Option(help="'recorded' needs a node with input.max_age_s:=0 (the stamps are old)")
    ] = Stamps.now,
    pose_topic: Annotated[bool, typer.Option("--pose-topic", help="Poses on `pose` instead of /tf")] = False,
    world_frame: Annotated[str, typer.Option(help="Frame of the poses: the node's input.world_frame")] = "base_link",
    camera_frame: Annotated[str, typer.Option(help="Frame of the images")] = "camera_optical_frame",
    wait_s: Annotated[float, typer.Option(min=0.0, help="How long to wait for subscribers before giving up")] = 60.0,
    clock: Annotated[bool, typer.Option("--clock", help="Bag: publish /clock, for a node with use_sim_time")] = False,
    recorded_names: Annotated[
        bool, typer.Option("--recorded-names", help="Bag: keep its topics' names instead of those the node listens to")
    ] = False,
    image: Annotated[str, typer.Option(help="Bag: topic of images (found by type if there is one)")] = "",
    camera_info: Annotated[str, typer.Option(help="Bag: topic of their camera info")] = "",
    depth_topic: Annotated[str, typer.Option(help="Bag: topic of depth images")] = "",
    pose_source: Annotated[str, typer.Option(help="Bag: tf, pose or odometry, where it has several")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when done")] = False,
) -> None:
    """Publish a capture or a bag on image, camera_info, depth and /tf. Waits for a subscriber before the first frame.

    A bag keeps its stamps: start the node with use_sim_time:=true, and this with --clock.
    """
    from lerf_ros.apps.bag_replay import BagPlan, replay_bag
    from lerf_ros.data.bag import is_bag
    from lerf_ros.data.bag_topics import Wanted
    from lerf_ros.data.transforms_json import held_out_indices, read_capture
    from lerf_ros.errors import DatasetError

    plan = _Plan(rate, loop, depth, stamps, wait_s)
    try:
        if is_bag(dataset):
            wanted = Wanted(image, camera_info, depth_topic, "", pose_source, depth)
            bag_plan = BagPlan(rate, loop, clock, wait_s, recorded_names)
            _done(dataset, replay_bag(dataset, wanted, bag_plan), as_json)
            return
        if clock:
            raise DatasetError("--clock is for bags: a capture is published with stamps of now")
        capture = read_capture(dataset)
        held = set(held_out_indices(len(capture), holdout))
        frames = [frame for i, frame in enumerate(capture) if i not in held]
        published = _replay(frames, plan, world_frame, camera_frame, pose_topic)
    except DatasetError as error:
        raise _stop(str(error)) from error
    _done(dataset, published, as_json, frames=len(frames))


def _done(dataset: Path, published: int, as_json: bool, **more: int) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"published": published, **more}) + "\n")
    else:
        sys.stderr.write(f"published {published} frames of {dataset}\n")


@dataclass(frozen=True)
class _Plan:
    rate: float
    loop: bool
    depth: bool
    stamps: Stamps
    wait_s: float


def _replay(frames: "Sequence[Frame]", plan: _Plan, world_frame: str, camera_frame: str, pose_topic: bool) -> int:
    """Publish until the end or until interrupted; return how many frames were published."""
    import rclpy
    from rclpy.executors import ExternalShutdownException

    from lerf_ros.ros.capture_publisher import CapturePublisher
    from lerf_ros.ros.transport import use_profile

    use_profile()
    rclpy.init()
    node = CapturePublisher(world_frame, camera_frame, pose_topic)
    published = 0
    try:
        _wait_for_subscribers(node, plan.wait_s)
        for frame, stamp_ns in _paced(node, frames, plan):
            node.publish(frame.load(plan.depth), stamp_ns)
            published += 1
        node.wait_delivered(10.0)
        rclpy.spin_once(node, timeout_sec=LINGER_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return published


def _wait_for_subscribers(node: "CapturePublisher", wait_s: float) -> None:
    import rclpy

    deadline = time.monotonic() + wait_s
    while not node.has_subscribers():
        if time.monotonic() > deadline:
            raise _stop(
                f"nobody subscribed to image, camera_info and the poses within {wait_s:g} s: is the node running?"
            )
        rclpy.spin_once(node, timeout_sec=0.1)


def _paced(node: "CapturePublisher", frames: "Sequence[Frame]", plan: _Plan) -> "Iterator[tuple[Frame, int]]":
    """Yield each frame when it is due, with the stamp it shall carry."""
    import rclpy

    first_ns, period_ns = frames[0].stamp_ns, _period_ns(frames)
    length_ns = frames[-1].stamp_ns - first_ns + period_ns
    begin, begin_ns = time.monotonic(), node.get_clock().now().nanoseconds
    for turn in itertools.count() if plan.loop else (0,):
        for frame in frames:
            offset_ns = turn * length_ns + frame.stamp_ns - first_ns
            due = begin + offset_ns / 1e9 / plan.rate
            while (left := due - time.monotonic()) > 0:
                rclpy.spin_once(node, timeout_sec=left)
            recorded_ns = first_ns + offset_ns
            yield frame, recorded_ns if plan.stamps is Stamps.recorded else begin_ns + int(offset_ns / plan.rate)


def _period_ns(frames: "Sequence[Frame]") -> int:
    """Return the mean time between frames, 0.1 s for a single one."""
    return (frames[-1].stamp_ns - frames[0].stamp_ns) // (len(frames) - 1) if len(frames) > 1 else 100_000_000


def _stop(message: str) -> typer.Exit:
    sys.stderr.write(f"replay: {message}\n")
    return typer.Exit(1)
