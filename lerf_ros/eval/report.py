# SPDX-License-Identifier: Apache-2.0
"""From the records of all scenes to the figures, as one JSON document."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from lerf_ros.eval.configurations import OPEN_SET, Configuration
from lerf_ros.eval.existence import auroc, average_precision, calibration_error
from lerf_ros.eval.intervals import bootstrap, wilson
from lerf_ros.eval.oracles import STAGES
from lerf_ros.eval.protocols_2d import selection_recall
from lerf_ros.eval.questions import ABSENT_KINDS, PAIR_TYPES, PRESENT_TYPES
from lerf_ros.eval.records import Answered, Outcome, SceneRecord

TYPES: Final = (*PRESENT_TYPES, "distractor", "pair", "all")
"""`distractor` counts pair questions again, `pair` both kinds of pairs, `all` every question about something there."""

Records = Sequence[SceneRecord]
Wanted = Callable[[Answered], bool]


def of_type(kind: str) -> Wanted:
    """Return whether a question counts under a type."""
    if kind == "distractor":
        return lambda a: a.distractor
    if kind == "pair":
        return lambda a: a.type in PAIR_TYPES
    if kind == "all":
        return lambda a: bool(a.objects)
    return lambda a: a.type == kind


def summary(wanted: Configuration, records: Records, seed: int) -> dict[str, Any]:
    """Return all figures of one configuration; under each rule too, in short."""
    rule = main_rule(wanted, records)
    found: dict[str, Any] = {
        "rule": rule,
        "scenes": len(records),
        "steps": wanted.steps,
        "language_rays": wanted.config.train.language_rays if wanted.steps else 0,
        "regulariser": regulariser(wanted),
        "min_views": wanted.config.surface.min_views,
        "code": sorted({r.code for r in records}),
        "keyframes": _mean([r.keyframes for r in records]),
        "points": _mean([r.points for r in records]),
        "localisation_3d": {kind: _localisation_3d(records, rule, of_type(kind)) for kind in TYPES},
        "localisation_2d": {kind: _localisation_2d(records, rule, of_type(kind)) for kind in TYPES},
        "miou": _mean([i for a in _asked(records) for i in a.outcomes[rule].ious_2d]),
        "miou_3d": _mean([a.outcomes[rule].iou_3d for a in _asked(records)]),
        "macc_25_3d": _recall([a.outcomes[rule].iou_3d for a in _asked(records)]),
        "existence": _existence(records, rule, seed),
        **_probabilities(records, rule),
        "decisions": _decisions(records, rule),
        "rules": {each: _in_short(records, each) for each in wanted.rules},
    }
    if OPEN_SET in wanted.rules:
        found["open_set"] = {"existence": _existence(records, OPEN_SET, seed), **_probabilities(records, OPEN_SET)}
    if wanted.method == "field" and not wanted.paper:
        found["oracles"] = {stage: _oracle(records, stage) for stage in STAGES}
        coverage = [a.oracles["coverage"] for a in _asked(records) if "coverage" in a.oracles]
        found["oracles"]["surface"]["coverage"] = _mean(coverage)
    return found


def regulariser(wanted: Configuration) -> str:
    """Return what the language field is regularised with, as `core.regulariser.load_regulariser` decides it."""
    encoder = wanted.config.encoder
    if not wanted.steps or wanted.config.train.dino_weight == 0 or encoder.regulariser == "none":
        return "none"
    dino = encoder.regulariser == "dino" or (encoder.regulariser == "auto" and encoder.regulariser_weights)
    return "dino" if dino else "encoder patches"


def main_rule(wanted: Configuration, records: Records) -> str:
    """Return the rule a configuration is judged by: its first, or for a baseline the one that localises most."""
    if not wanted.own_best:
        return wanted.rules[0]
    hits = {rule: sum(bool(a.outcomes[rule].hit) for a in _asked(records)) for rule in wanted.rules}
    return max(wanted.rules, key=lambda rule: hits[rule])


def _asked(records: Records, wanted: Wanted | None = None) -> list[Answered]:
    """Return the questions about something that is there, or those of them that are wanted."""
    return [a for r in records for a in r.answered if a.objects and (wanted is None or wanted(a))]


def _mean(values: Sequence[float | int | None]) -> float | None:
    there = [v for v in values if v is not None]
    return float(np.mean(there)) if there else None


def _recall(ious: Sequence[float | None]) -> float | None:
    there = [v for v in ious if v is not None]
    return selection_recall(there) if there else None


def _median(values: Sequence[float | None]) -> float | None:
    there = [v for v in values if v is not None]
    return float(np.median(there)) if there else None


def rate(hits: Sequence[bool]) -> dict[str, Any]:
    """Return number, share and Wilson interval."""
    n = len(hits)
    return {"n": n, "accuracy": sum(hits) / n if n else None, "interval_95": list(wilson(sum(hits), n))}


def _localisation_3d(records: Records, rule: str, wanted: Wanted) -> dict[str, Any]:
    asked = _asked(records, wanted)
    outcomes = [a.outcomes[rule] for a in asked]
    return {
        **rate([bool(o.hit) for o in outcomes]),
        "median_error_m": _median([o.error_m for o in outcomes]),
        "median_centre_error_m": _median([o.centre_error_m for o in outcomes]),
        "chance": _mean([a.chance for a in asked]),
    }


def _localisation_2d(records: Records, rule: str, wanted: Wanted) -> dict[str, Any]:
    return rate([hit for a in _asked(records, wanted) for hit in a.outcomes[rule].hits_2d])


def _in_short(records: Records, rule: str) -> dict[str, Any]:
    asked = _asked(records)
    return {
        "localisation_3d": {kind: _localisation_3d(records, rule, of_type(kind))["accuracy"] for kind in TYPES},
        "localisation_2d": _localisation_2d(records, rule, of_type("all"))["accuracy"],
        "miou_3d": _mean([a.outcomes[rule].iou_3d for a in asked]),
        "auroc": auroc(scores(records, rule, of_type("all")), scores(records, rule, _absent())),
    }


def _absent(kinds: Sequence[str] = ABSENT_KINDS) -> Wanted:
    return lambda a: a.type in kinds


def scores(records: Records, rule: str, wanted: Wanted) -> list[float]:
    """Return the scores of the questions wanted, present or absent."""
    return [a.outcomes[rule].score for r in records for a in r.answered if wanted(a)]


def _existence(records: Records, rule: str, seed: int) -> dict[str, Any]:
    """Return the AUROC of each kind of absent phrases against present pairs, and against all present phrases.

    Against all (`auroc_all_present`) is the harder of the two and closer to use: a category or a colour alone is vaguer
    than a pair, so that it scores lower where it is there. Against pairs (`auroc`) compares like with like, for absent
    phrases name a pair or a thing: it tells what the map knows of existence, apart from how vague the phrase is.
    """
    kinds = {kind: (kind,) for kind in ABSENT_KINDS} | {"pooled": ABSENT_KINDS}
    out: dict[str, Any] = {}
    for name, which in kinds.items():
        absent = _absent(which)

        def measure(some: Records, absent: Wanted = absent, present: str = "pair") -> float | None:
            return auroc(scores(some, rule, of_type(present)), scores(some, rule, absent))

        interval = bootstrap(records, measure, seed)
        out[name] = {
            "n": len(scores(records, rule, absent)),
            "n_pairs": len(_asked(records, of_type("pair"))),
            "auroc": measure(records),
            "interval_95": None if interval is None else list(interval),
            "n_present": len(_asked(records)),
            "auroc_all_present": measure(records, present="all"),
            "chance": 0.5,
        }
    return out


def _probabilities(records: Records, rule: str) -> dict[str, Any]:
    told = [(a.outcomes[rule].probability, bool(a.objects)) for r in records for a in r.answered]
    present, absent = scores(records, rule, of_type("all")), scores(records, rule, _absent())
    return {
        "average_precision": average_precision(present, absent),
        "average_precision_chance": len(present) / len(told) if told else None,
        "ece": calibration_error([p for p, _ in told], [there for _, there in told]),
    }


def _decisions(records: Records, rule: str) -> dict[str, Any]:
    """Return what the map's own answers said: shares of right places found, of refusals, and of false alarms."""
    present = [a.outcomes[rule] for a in _asked(records)]
    absent = [a.outcomes[rule] for r in records for a in r.answered if not a.objects]
    if not any(o.status for o in present):
        return {}

    def share(outcomes: Sequence[Outcome], test: Callable[[Outcome], bool]) -> dict[str, Any]:
        return rate([test(o) for o in outcomes])

    return {
        "found_right": share(present, lambda o: o.status == "FOUND" and bool(o.hit)),
        "found_wrong": share(present, lambda o: o.status == "FOUND" and not o.hit),
        "ambiguous": share(present, lambda o: o.status == "AMBIGUOUS"),
        "missed": share(present, lambda o: o.status == "NOT_FOUND"),
        "false_alarms": share(absent, lambda o: o.status != "NOT_FOUND"),
    }


def _oracle(records: Records, stage: str) -> dict[str, Any]:
    by_type: Mapping[str, Sequence[bool]] = {
        kind: [bool(a.oracles[stage]) for a in _asked(records, of_type(kind)) if stage in a.oracles] for kind in TYPES
    }
    return {**rate(by_type["all"]), "by_type": {kind: rate(hits) for kind, hits in by_type.items()}}
