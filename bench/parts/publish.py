# SPDX-License-Identifier: Apache-2.0
"""Publishing a snapshot, relevancy alone, and turning answers into messages, over the number of points."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch

from bench.context import Context
from bench.mapped import config_for, images_for, mapper_for, point_name
from bench.rows import Point, Row, measured, unmeasured
from bench.timing import repeated, seconds
from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder, load_encoder
from lerf_ros.core.relevancy import log_odds

POINTS: Final = (10_000, 30_000, 100_000, 300_000)
CLOUDS: Final = (1_000, 10_000, 100_000, 1_000_000)
PHRASES, NEGATIVES = 4, 4
STEPS_BETWEEN: Final = 10
LIMIT_S: Final = 2.0


def run(context: Context) -> Iterator[Row]:
    """Measure snapshots (the first, and later ones after some steps), relevancy and clouds."""
    encoder = load_encoder(Config().encoder)
    for points in POINTS[: context.size(len(POINTS), 1)]:
        yield from _snapshots(context, points, encoder)
    yield _relevancy(context, encoder)
    for points in CLOUDS[: context.size(len(CLOUDS), 1)]:
        yield _cloud(context, points)


def _snapshots(context: Context, points: int, encoder: ImageTextEncoder) -> Iterator[Row]:
    images = images_for(points, context.size(12, 4))
    config = config_for(points, images, context.changes)
    mapper = mapper_for(config, images, encoder, context.threads, context.size(30, 2))
    name, first = point_name(points), 1e3 * seconds(mapper.publish)
    yield Row(f"publish_first_ms_{name}", first, "ms", context.threads, note="nothing remembered from another",
              point=Point("publish", "first snapshot", points))  # fmt: skip
    later = []
    for _ in range(context.size(5, 1)):
        for _ in range(context.size(STEPS_BETWEEN, 1)):
            mapper.step()
        later.append(1e3 * seconds(mapper.publish))
    mapper.close()
    yield measured(f"publish_ms_{name}", later, "ms", context.threads, note=f"{STEPS_BETWEEN} steps after the last",
                   point=Point("publish", "later snapshots", points))  # fmt: skip


def _relevancy(context: Context, encoder: ImageTextEncoder) -> Row:
    """The direct evaluation: 4 phrases against 4 negatives on 100,000 points at 5 scales, bfloat16 embeddings."""
    torch.set_num_threads(context.threads)
    scales, points, dim = 5, context.size(100_000, 1000), encoder.embed_dim
    embeddings = torch.nn.functional.normalize(torch.randn(scales, points, dim), dim=-1).bfloat16()
    positives, negatives = (torch.nn.functional.normalize(torch.randn(n, dim), dim=-1) for n in (PHRASES, NEGATIVES))
    times = repeated(lambda: log_odds(embeddings, positives, negatives), context.size(5, 1), LIMIT_S)
    row = measured("relevancy_direct_ms_100k_4", [1e3 * t for t in times], "ms", context.threads,
                   note=f"{scales} scales, {dim} dimensions, every point: what a snapshot's cache saves",
                   roofline=_share(context, scales * points * dim, float(np.median(times))))  # fmt: skip
    return row


def _share(context: Context, numbers: int, taken_s: float) -> float | None:
    """Return the larger of the shares of FLOP/s and of bandwidth: the one that binds."""
    flops, bandwidth = (context.limit(k, context.threads) for k in ("sgemm_gflop_per_s", "triad_gb_per_s"))
    if flops is None or bandwidth is None:
        return None
    return max(2 * numbers * (PHRASES + NEGATIVES) / 1e9 / flops, 2 * numbers / 1e9 / bandwidth) / taken_s


def _cloud(context: Context, points: int) -> Row:
    name = f"cloud_message_ms_{point_name(points)}"
    try:
        from std_msgs.msg import Header

        from lerf_ros.ros.outputs.answers import cloud_message
    except ImportError as error:
        return unmeasured(name, "ms", 1, f"no ROS here: {error}")
    rng = np.random.default_rng(0)
    xyz, rgb = rng.random((points, 3), np.float32), rng.integers(0, 256, (points, 3)).astype(np.uint8)
    relevancy, header = rng.random(points, np.float32), Header(frame_id="base_link")
    times = repeated(lambda: cloud_message(header, xyz, rgb, relevancy), context.size(7, 1), LIMIT_S)
    return measured(name, [1e3 * t for t in times], "ms", 1, point=Point("cloud", "PointCloud2 of an answer", points),
                    note=f"{20 * points / np.median(times) / 1e9:.1f} GB/s of message")  # fmt: skip
