# SPDX-License-Identifier: Apache-2.0
"""What is wanted, on two cores."""

from typing import Final

from bench.rows import Target

TARGETS: Final = {
    "hashgrid_fwd_bwd": Target(20.0, "ratio"),
    "train_rays_per_s": Target(10.0, "ratio"),
    "psnr_120s": Target(1.0, "ratio"),
    "query_p95_ms_idle_100k_4": Target(50.0),
    "query_p95_ms_training_100k_4": Target(100.0),
    "peak_rss_mb_200_keyframes": Target(2500.0),
    "rss_mb_per_keyframe": Target(2.0),
    "step_time_1000_over_50_keyframes": Target(1.1),
    "first_correct_answer_s": Target(10.0),
    "demo_wall_s": Target(120.0),
}
"""Of rows by name; limits of values are those of the row's unit."""
