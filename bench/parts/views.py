# SPDX-License-Identifier: Apache-2.0
"""What is known of a table after a few views: those `~/next_views` asks for, random ones, and the scripted scan's.

Every policy begins with the same view. Next and random views are drawn from the same candidates, and both skip what the
arm cannot reach. Judged against the simulator's truth: share of the objects' surface that the map has points on.
"""

import importlib
from collections.abc import Iterator, Sequence
from typing import Final

from bench.context import Context
from bench.rows import Point, Row, against, measured

BUDGET: Final = 8
STEPS: Final = 25
"""Of training after each view: a second or so on a robot."""

SCENES: Final = 3
POLICIES: Final = ("next", "random", "scan")


def run(context: Context) -> Iterator[Row]:
    """Let every policy look at the first scenes of the evaluation."""
    importlib.import_module("open_clip")  # before mujoco: the other order crashes under osmesa
    from bench.looking import Table

    budget = context.size(BUDGET, 2)
    seen: dict[str, list[list[float]]] = {policy: [] for policy in POLICIES}
    for index in range(context.size(SCENES, 1)):
        with Table(index, STEPS if not context.quick else 2) as table:
            for policy in POLICIES:
                seen[policy].append(table.look(policy, budget))
    yield from _rows(context, seen, budget)


def _rows(context: Context, seen: dict[str, list[list[float]]], budget: int) -> Iterator[Row]:
    for views in range(2, budget + 1):
        for policy in POLICIES:
            yield measured(f"seen_{policy}_{views}", _after(seen[policy], views), "share", context.threads,
                           better="higher", point=Point("views", policy, views))  # fmt: skip
    note = f"mean share of objects' surface after {budget} views, {len(seen['next'])} scenes"
    ours = measured(f"next_views_seen_{budget}", _after(seen["next"], budget), "share", context.threads,
                    better="higher", note=note)  # fmt: skip
    yield against(ours, _after(seen["random"], budget), "random views")


def _after(runs: Sequence[Sequence[float]], views: int) -> list[float]:
    return [run[views - 1] for run in runs]
