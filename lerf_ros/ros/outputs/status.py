# SPDX-License-Identifier: Apache-2.0
"""`~/status`: what the node is doing, put together from all who count."""

import resource
from collections.abc import Mapping, Sequence
from pathlib import Path

from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.msg import Status
from lerf_ros.ros.outputs.look import all_drops
from lerf_ros.runtime.stats import LoopStats

PAGE_BYTES = resource.getpagesize()


def status_message(
    stats: LoopStats,
    unmatched: Mapping[str, int],
    encoder: ImageTextEncoder,
    warnings: Sequence[str],
    frame_id: str,
    camera_hz: Mapping[str, float],
    stale_points: int,
) -> Status:
    """Return the status; the caller stamps it.

    Args:
        stats: of the mapping loop.
        unmatched: images dropped before they reached it, by cause.
        encoder: the one that runs.
        warnings: faults the self-check has named.
        frame_id: the world frame.
        camera_hz: images a second of each camera, by name.
        stale_points: of the published map.
    """
    status = Status(
        encoder=encoder.name, encoder_sha256=encoder.sha256, cameras=list(camera_hz),
        camera_hz=[float(hz) for hz in camera_hz.values()], memory_mb=resident_bytes() / 1e6,
        stale_points=stale_points, warnings=list(warnings),
    )  # fmt: skip
    status.header.frame_id = frame_id
    _add_frames(status, stats, unmatched)
    _add_training(status, stats)
    return status


def _add_frames(status: Status, stats: LoopStats, unmatched: Mapping[str, int]) -> None:
    """Tell what came of the images."""
    drops = all_drops(stats, unmatched)
    status.frames_received = stats.received + sum(unmatched.values())
    status.frames_not_moved = stats.not_moved
    status.keyframes = stats.keyframes
    status.drop_causes = sorted(drops)
    status.drop_counts = [drops[cause] for cause in status.drop_causes]
    status.tf_failures = sum(count for cause, count in drops.items() if cause.startswith("tf_"))
    status.encode_s = stats.encode_s
    status.callback_p95_s = stats.callback_p95_s
    status.keyframe_latency_s = stats.keyframe_latency_s


def _add_training(status: Status, stats: LoopStats) -> None:
    """Tell what was learned, and of the map that is published."""
    status.step = stats.steps
    status.steps_per_s = stats.steps_per_s
    status.steps_skipped = stats.steps_skipped
    status.training = stats.training
    status.map_latency_s = stats.map_latency_s
    status.snapshot_step = stats.snapshot_step
    status.snapshot_age_s = stats.snapshot_age_s
    status.encoder_alive = stats.encoder_alive
    status.trainer_alive = stats.trainer_alive
    status.fault = stats.fault
    report = stats.report
    if report is not None:
        status.loss = float(report.loss)
        status.photometric_loss = float(report.photometric)
        status.psnr_db = float(report.psnr_db)
        status.depth_loss = float(report.depth)
        status.language_loss = float(report.clip)


def resident_bytes() -> int:
    """Return the resident memory of this process (its peak where /proc is missing)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
