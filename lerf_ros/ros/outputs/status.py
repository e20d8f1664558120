# SPDX-License-Identifier: Apache-2.0
"""`~/status`: what the node is doing, put together from all who count."""

import resource
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.msg import Status
from lerf_ros.runtime.stats import LoopStats

PAGE_BYTES = resource.getpagesize()


def status_message(
    stats: LoopStats, unmatched: Mapping[str, int], encoder: ImageTextEncoder, warnings: list[str], frame_id: str
) -> Status:
    """Return the status; the caller stamps it.

    Args:
        stats: of the mapping loop.
        unmatched: images dropped before they reached it, by cause.
        encoder: the one that runs.
        warnings: faults the self-check has named.
        frame_id: the world frame.
    """
    drops = Counter(stats.dropped)
    drops.update(unmatched)
    if stats.mailbox_dropped:
        drops["encoder_behind"] += stats.mailbox_dropped
    causes = sorted(drops)
    status = Status(
        encoder=encoder.name,
        encoder_sha256=encoder.sha256,
        step=stats.steps,
        steps_per_s=stats.steps_per_s,
        frames_received=stats.received + sum(unmatched.values()),
        frames_not_moved=stats.not_moved,
        keyframes=stats.keyframes,
        drop_causes=causes,
        drop_counts=[drops[cause] for cause in causes],
        tf_failures=sum(count for cause, count in drops.items() if cause.startswith("tf_")),
        encode_s=stats.encode_s,
        callback_p95_s=stats.callback_p95_s,
        keyframe_latency_s=stats.keyframe_latency_s,
        map_latency_s=stats.map_latency_s,
        snapshot_step=stats.snapshot_step,
        snapshot_age_s=stats.snapshot_age_s,
        memory_mb=resident_bytes() / 1e6,
        training=stats.training,
        steps_skipped=stats.steps_skipped,
        encoder_alive=stats.encoder_alive,
        trainer_alive=stats.trainer_alive,
        fault=stats.fault,
        warnings=warnings,
    )
    status.header.frame_id = frame_id
    report = stats.report
    if report is not None:
        status.loss = float(report.loss)
        status.photometric_loss = float(report.photometric)
        status.psnr_db = float(report.psnr_db)
        status.depth_loss = float(report.depth)
        status.language_loss = float(report.clip)
    return status


def resident_bytes() -> int:
    """Return the resident memory of this process (its peak where /proc is missing)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
