# SPDX-License-Identifier: Apache-2.0
"""One measurement, and the arithmetic from samples to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import numpy as np

FEW = 4
"""With fewer samples the spread is the largest less the smallest, else the inter-quartile range."""

REQUIRED = ("name", "value", "unit", "peer", "ratio", "spread", "threads")


@dataclass(frozen=True)
class Point:
    """Where a row lies in a picture: which picture, which of its curves, at which work size."""

    figure: str
    series: str
    x: float


@dataclass(frozen=True)
class Target:
    """What a row is wanted to reach: a limit of its value, or of its ratio to the peer."""

    limit: float
    of: Literal["value", "ratio"] = "value"


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: unique.
        value: median of ours, in `unit`; None: could not be measured (the note tells why).
        peer: the same of the peer, measured in the same run on the same threads; None: there is none.
        spread: of ours, in `unit`: inter-quartile range, or largest less smallest of fewer than four samples.
        threads: CPU threads that both were given.
        n: samples behind `value`.
        better: whether less or more of it is better.
        peer_name: what the peer is.
        roofline: share of what the machine's measured bandwidth or FLOP/s allow (docs/benchmarks.md tells the model).
        note: what a reader must know.
        point: where it lies in a picture.
        part: what measured it; the store fills it in.
    """

    name: str
    value: float | None
    unit: str
    threads: int
    spread: float | None = None
    n: int = 1
    better: Literal["lower", "higher"] = "lower"
    peer: float | None = None
    peer_spread: float | None = None
    peer_name: str = ""
    target: Target | None = None
    roofline: float | None = None
    note: str = ""
    point: Point | None = None
    part: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the peer's: above 1, ours is better."""
        if self.value is None or self.peer is None:
            return None
        above, below = (self.peer, self.value) if self.better == "lower" else (self.value, self.peer)
        return above / below if below else None

    @property
    def meets(self) -> bool | None:
        """Whether the target is reached; None: there is none, or nothing to compare."""
        if self.target is None:
            return None
        if self.target.of == "ratio":
            return None if self.ratio is None else self.ratio >= self.target.limit
        if self.value is None:
            return None
        return self.value <= self.target.limit if self.better == "lower" else self.value >= self.target.limit

    def as_dict(self) -> dict[str, Any]:
        """Return what `bench.json` holds of it: the required keys first, then those that say something."""
        every = asdict(self) | {"ratio": self.ratio, "meets": self.meets}
        more = {k: v for k, v in every.items() if k not in REQUIRED and v not in (None, "")}
        return {key: _plain(every[key]) for key in REQUIRED} | {key: _plain(value) for key, value in more.items()}


def from_dict(values: Mapping[str, Any]) -> Row:
    """Return the row that `as_dict` wrote.

    Raises:
        KeyError, TypeError: it was not written by `as_dict`.
    """
    known = {f.name for f in fields(Row)}
    kept = {key: value for key, value in values.items() if key in known}
    for key, kind in (("target", Target), ("point", Point)):
        if kept.get(key) is not None:
            kept[key] = kind(**kept[key])
    return Row(**kept)


def spread_of(samples: Sequence[float]) -> float | None:
    """Return the inter-quartile range; of fewer than four samples the range, of one nothing."""
    if len(samples) < 2:
        return None
    if len(samples) < FEW:
        return float(max(samples) - min(samples))
    low, high = np.quantile(np.asarray(samples, np.float64), [0.25, 0.75])
    return float(high - low)


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that at least `percent` of all do not exceed (nearest rank: one that happened).

    Raises:
        ValueError: there are no samples.
    """
    if not len(samples):
        raise ValueError("no samples to take a percentile of")
    ordered = sorted(samples)
    return float(ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1])


def measured(name: str, samples: Sequence[float], unit: str, threads: int, **more: Any) -> Row:
    """Return the row of samples: their median and spread."""
    value = float(np.median(np.asarray(samples, np.float64))) if len(samples) else None
    return Row(name, value, unit, threads, spread=spread_of(samples), n=len(samples), **more)


def against(row: Row, peer_samples: Sequence[float], peer_name: str) -> Row:
    """Return the row with the peer's median and spread; as it is when the peer has no samples."""
    if not len(peer_samples):
        return row
    median = float(np.median(np.asarray(peer_samples, np.float64)))
    return replace(row, peer=median, peer_spread=spread_of(peer_samples), peer_name=peer_name)


def unmeasured(name: str, unit: str, threads: int, why: str, **more: Any) -> Row:
    """Return the row of what could not be measured."""
    return Row(name, None, unit, threads, n=0, note=why, **more)


def _plain(value: Any) -> Any:
    """Return a value that JSON has: no NaN or infinity, six digits, no numpy."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.6g}") if math.isfinite(float(value)) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
