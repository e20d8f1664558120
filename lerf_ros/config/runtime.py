# SPDX-License-Identifier: Apache-2.0
"""Parameters: threads, queues, time-outs, files."""

from dataclasses import dataclass

from lerf_ros.options import option


@dataclass(frozen=True)
class RuntimeConfig:
    """Threads, queues and time-outs."""

    mailbox_size: int = option(
        4, "Frames waiting for the encoder; the oldest is dropped, counted", ge=1, le=1000, when="any time"
    )
    threads: int = option(
        2, "CPU threads shared by encoder and trainer (each gets half while both work)", ge=1, le=256, when="any time"
    )
    max_cpu_fraction: float = option(
        1.0,
        "Largest share of runtime.threads that training may use over time (to stop it, call ~/set_training)",
        ge=0.01,
        le=1.0,
        when="any time",
    )
    pause_for_queries: bool = option(
        True, "No training step begins while a query is answered (at most half the time)", when="any time"
    )
    snapshot_period_s: float = option(
        3.0, "Longest time between published snapshots while training; shorter while they are cheap", ge=0.1, le=3600.0,
        when="any time",
    )
    command_timeout_s: float = option(
        10.0, "Longest wait for the trainer to run a command", ge=0.1, le=3600.0, when="any time"
    )
    join_timeout_s: float = option(
        10.0, "Longest wait for all threads together at shutdown", ge=0.1, le=600.0, when="any time"
    )
    idle_steps: int = option(
        6000, "Training rests after this many steps without a new keyframe", ge=1, le=10_000_000, when="any time"
    )
    maps_dir: str = option(
        "maps", "Folder that ~/save_map writes below; relative to where the node was started", when="any time"
    )
    save_keyframes: bool = option(
        True, "Saved maps hold their keyframes, so that training can go on from them (most of a map's size)",
        when="any time",
    )
    status_period_s: float = option(1.0, "Period of ~/status", ge=0.05, le=60.0, when="any time")
    autostart: bool = option(True, "The node configures and activates itself when it starts", when="start")
