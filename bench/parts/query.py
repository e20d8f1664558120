# SPDX-License-Identifier: Apache-2.0
"""Phrases asked of a snapshot: how long, idle and while the same process trains and publishes, as the node does.

Every phrase is new, so its text embedding is always part of the time. Idle, every thirtieth query is the first on its
snapshot; while training, snapshots come as they come.
"""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

import torch

from bench.context import Context
from bench.mapped import config_for, images_for, mapper_for, point_name
from bench.phrases import new_phrases
from bench.rows import Point, Row, measured, percentile
from bench.targets import TARGETS
from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder, load_encoder
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.query import answer
from lerf_ros.core.request import QueryRequest, Status
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.runtime.mapping_loop import MappingLoop

POINTS: Final = (10_000, 100_000, 1_000_000)
PHRASES: Final = (1, 4, 16)
PERCENTS: Final = (50, 95, 99)
A_SNAPSHOT: Final = 30
"""Queries on one snapshot when nothing trains."""

QUERIES: Final = 120
IDLE_LIMIT_S: Final = 10.0
TRAINING_S: Final = 15.0
PERIOD_S: Final = 0.2
"""Between the starts of two queries while training."""

FIRST_SNAPSHOT_S: Final = 120.0
ENDLESS: Final = 10_000_000
State = Literal["idle", "training"]


@dataclass
class Case:
    """One size of map, and what asks it."""

    points: int
    config: Config
    mapper: LerfMapper
    encoder: ImageTextEncoder
    phrases: Iterator[str]

    def ask(self, snapshot: FieldSnapshot, count: int) -> float:
        """Ask `count` new phrases; return the wall time, milliseconds."""
        request = QueryRequest(tuple(islice(self.phrases, count)))
        begin = time.perf_counter()
        found = answer(snapshot, request, self.encoder, self.config, snapshot.stamp_ns)
        spent = 1e3 * (time.perf_counter() - begin)
        unanswered = [a for a in found if a.status in (Status.NOT_READY, Status.BAD_REQUEST, Status.INTERNAL)]
        if unanswered:
            raise RuntimeError(f"{unanswered[0].prompt!r} was not answered: {unanswered[0].message}")
        return spent


def run(context: Context) -> Iterator[Row]:
    """Measure every number of phrases on every size of map, idle and training."""
    encoder = load_encoder(Config().encoder)
    for points in POINTS[: context.size(len(POINTS), 1)]:
        case = _case(context, points, encoder)
        torch.set_num_threads(context.threads)
        for phrases in PHRASES:
            first, every = _idle(context, case, phrases)
            yield from _rows(context, "idle", points, phrases, every, len(_snapshot(case).surface))
            yield measured(f"query_first_ms_{point_name(points)}_{phrases}", first, "ms", context.threads,
                           note="the first query on a new snapshot")  # fmt: skip
        yield from _training(context, case)
        case.mapper.close()
        del case
        gc.collect()


def _case(context: Context, points: int, encoder: ImageTextEncoder) -> Case:
    images = images_for(points, context.size(12, 8))
    loop = {"runtime.threads": context.threads, "runtime.idle_steps": ENDLESS}
    config = config_for(points, images, {**context.changes, **loop})
    mapper = mapper_for(config, images, encoder, context.threads, context.size(250, 200))
    return Case(points, config, mapper, encoder, new_phrases(points))


def _snapshot(case: Case) -> FieldSnapshot:
    snapshot = case.mapper.publish()
    assert snapshot is not None
    return snapshot


def _idle(context: Context, case: Case, phrases: int) -> tuple[list[float], list[float]]:
    """Return the times of the first queries on their snapshots, and of all."""
    first: list[float] = []
    every: list[float] = []
    case.ask(_snapshot(case), phrases)  # compiles what there is to compile
    spent = 0.0
    while len(every) < context.size(QUERIES, 2) and (spent < 1e3 * IDLE_LIMIT_S or not every):
        snapshot = _snapshot(case)
        took = [case.ask(snapshot, phrases) for _ in range(context.size(A_SNAPSHOT, 2))]
        first.append(took[0])
        every += took
        spent += sum(took)
    return first, every


def _training(context: Context, case: Case) -> Iterator[Row]:
    """Ask while a loop owns the mapper, trains all along, and publishes every few seconds."""
    loop: MappingLoop[PosedImage] = MappingLoop(case.mapper, lambda image: image, case.config.runtime)
    loop.start()
    try:
        _wait(lambda: loop.snapshot() is not None, FIRST_SNAPSHOT_S)
        for phrases in PHRASES:
            before = loop.stats()
            times = _ask_periodically(context, case, loop, phrases)
            after, fault = loop.stats(), loop.stats().fault
            if fault:
                raise RuntimeError(fault)
            yield from _rows(context, "training", case.points, phrases, times, after.steps - before.steps)
    finally:
        loop.stop()


def _ask_periodically(context: Context, case: Case, loop: MappingLoop[Any], phrases: int) -> list[float]:
    times: list[float] = []
    begin = time.monotonic()
    until = begin + (1.0 if context.quick else TRAINING_S)
    while time.monotonic() < until or not times:
        snapshot = loop.snapshot()
        assert snapshot is not None
        times.append(case.ask(snapshot, phrases))
        _sleep_until(begin + PERIOD_S * len(times))
    return times


def _rows(context: Context, state: State, points: int, phrases: int, times: list[float], found: int) -> Iterator[Row]:
    key = f"{state}_{point_name(points)}_{phrases}"
    series = f"{phrases} phrase{'s' * (phrases > 1)}, {state}"
    for percent in PERCENTS:
        name = f"query_p{percent}_ms_{key}"
        row = Row(name, percentile(times, percent), "ms", context.threads, n=len(times), target=TARGETS.get(name),
                  spread=measured("", times, "", 0).spread if percent == PERCENTS[0] else None,
                  note=f"{found} points" if state == "idle" else f"{found} training steps meanwhile",
                  point=Point(f"query_p{percent}", series, points))  # fmt: skip
        yield row


def _wait(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing was published within {limit_s:g} s")
        _sleep_until(time.monotonic() + 0.02)


def _sleep_until(moment: float) -> None:
    """Let the clock reach a moment: queries come periodically."""
    time.sleep(max(moment - time.monotonic(), 0))
