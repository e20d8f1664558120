# SPDX-License-Identifier: Apache-2.0
"""The evaluation's figures as Markdown, for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lerf_ros.eval.images2d import FIELD_SIZE

TYPES: Final = {
    "seen_pair": "seen pair", "withheld_pair": "withheld pair", "distractor": "distractor", "category": "category",
    "colour": "colour", "all": "all",
}  # fmt: skip
KINDS: Final = {
    "wrong_colour": "wrong colour", "absent_category": "absent category", "unknown_word": "unknown word",
    "pooled": "all",
}  # fmt: skip
CLOSED_SET: Final = (
    "The null phrases of the bundled encoder are its whole vocabulary: the existence of `answer` and `objects` is that "
    "of a closed set of phrases. The rows `no_null` are the same map asked without null phrases, by its relevancy "
    "alone: the figure of an open set. They rank phrases; their probabilities are not calibrated."
)
PAPER_RENDER: Final = "{}x{}".format(*FIELD_SIZE)
Row = Sequence[str]


def markdown(document: Mapping[str, Any]) -> str:
    """Return the whole report."""
    found: dict[str, dict[str, Any]] = document["configurations"]
    parts = [
        "# Evaluation on simulated scenes\n",
        _made_with(document),
        code_warning(document),
        _compared(found),
        "## Localisation in 3D\n\nShare of answers on a right object's surface, within 2 cm [95 % interval]; n.\n",
        table(("configuration", *TYPES.values(), "median error", "rule"),
              [*(_in_3d(n, c) for n, c in found.items()), *_chance(found)]),
        "## Localisation in 2D\n\nShare of hottest pixels inside a right object's box, on two novel views a scene.\n",
        table(("configuration", *TYPES.values(), "mIoU 2D", "mIoU 3D", "mAcc@0.25 3D"),
              [_in_2d(n, c) for n, c in found.items()]),
        "## Existence\n\nAUROC of absent phrases against present pairs [95 % interval], in brackets against all "
        "present phrases (chance 0.5); n absent. Rules without a probability (all but `answer`, `no_null` and "
        f"`objects`) give their relevancy. {CLOSED_SET if _open_set(found) else ''}\n",
        table(("configuration", *KINDS.values(), "average precision", "ECE"),
              [*(_existence(n, c) for n, c in found.items()), *_open_set(found)]),
    ]  # fmt: skip
    decided = {n: c["decisions"] for n, c in found.items() if c["decisions"]}
    if decided:
        parts += [
            "## Decisions\n\nWhat the answers said: of present things, and (false alarms) of absent ones.\n",
            table(("configuration", "found, right", "found, wrong", "ambiguous", "missed", "false alarms"),
                  [(n, *(rate(each) for each in d.values())) for n, d in decided.items()]),
        ]  # fmt: skip
    parts += [_rules(found), *(_oracles(n, c) for n, c in found.items() if "oracles" in c), _pictures(document)]
    return "\n".join(p for p in parts if p)


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number in few digits, "-" for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def rate(found: Mapping[str, Any]) -> str:
    """Return "0.812 [0.77, 0.85]; 161"."""
    if not found["n"]:
        return "-"
    low, high = found["interval_95"]
    return f"{number(found['accuracy'])} [{low:.2f}, {high:.2f}]; {found['n']}"


def _made_with(document: Mapping[str, Any]) -> str:
    return f"Seed {document['seed']}, encoder {document['encoder']}, protocol {document['protocol']}.\n"


def code_warning(document: Mapping[str, Any]) -> str:
    """Return what is wrong with a report whose results were made by more than one version of the source, or ""."""
    if len(document["code"]) < 2:
        return ""
    made = "; ".join(f"{name} by {', '.join(c['code'])}" for name, c in document["configurations"].items())
    return f"**Warning**: results of different source code are compared: {made}. An empty work folder makes all anew.\n"


def _compared(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what each row is, and how the paper's rows differ from the paper."""
    rows = [
        (name, str(c["scenes"]), c["regulariser"] if c["steps"] else "-", str(c["steps"] or "-"),
         str(c["language_rays"] or "-"), str(c["min_views"]))
        for name, c in found.items()
    ]  # fmt: skip
    head = ("configuration", "scenes", "regulariser", "steps", "language rays", "views a point needs")
    text = "## What is compared\n\n"
    paper = {(c["steps"], c["language_rays"], c["min_views"]) for name, c in found.items() if name.startswith("paper")}
    for steps, rays, views in sorted(paper):
        text += (f"`paper*`: the paper's design at {steps} steps of {rays} rays (the paper: 30 000 of 4096). It "
                 f"answers on surface that {views} keyframes have seen, and its images of novel views are rendered at "
                 f"{PAPER_RENDER}.\n\n")  # fmt: skip
    return text + table(head, rows)


def _in_3d(name: str, found: Mapping[str, Any]) -> Row:
    told = found["localisation_3d"]
    error = told["all"]["median_error_m"]
    return (name, *(rate(told[kind]) for kind in TYPES), _millimetres(error), found["rule"])


def _millimetres(error_m: float | None) -> str:
    return "-" if error_m is None else f"{1000 * error_m:.1f} mm"


def _chance(found: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return what a random answerable point would reach; configurations of other scenes or surfaces differ in it."""
    names: dict[tuple[str, ...], list[str]] = {}
    for name, c in found.items():
        cells = tuple(number(c["localisation_3d"][kind]["chance"]) for kind in TYPES)
        names.setdefault(cells, []).append(name)
    return [(f"a random point of {', '.join(which)}", *cells, "", "") for cells, which in names.items()]


def _in_2d(name: str, found: Mapping[str, Any]) -> Row:
    told = found["localisation_2d"]
    return (name, *(rate(told[kind]) for kind in TYPES), number(found["miou"]), number(found["miou_3d"]),
            number(found["macc_25_3d"]))  # fmt: skip


def _existence(name: str, found: Mapping[str, Any]) -> Row:
    cells = []
    for kind in KINDS:
        told = found["existence"][kind]
        interval = told["interval_95"]
        between = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
        cells.append(f"{number(told['auroc'])}{between} ({number(told['auroc_all_present'])}); {told['n']}")
    chance = found["average_precision_chance"]
    precision = f"{number(found['average_precision'])} (chance {number(chance, 2)})"
    return (name, *cells, precision, number(found["ece"]))


def _open_set(found: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return the existence of maps asked without null phrases."""
    return [_existence(f"{name}, no_null", c["open_set"]) for name, c in found.items() if "open_set" in c]


def _rules(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (name, rule, *(number(short["localisation_3d"][kind]) for kind in TYPES), number(short["localisation_2d"]),
         number(short["miou_3d"]), number(short["auroc"]))
        for name, c in found.items() for rule, short in c["rules"].items()
    ]  # fmt: skip
    head = ("configuration", "rule", *TYPES.values(), "2D", "mIoU 3D", "AUROC")
    title = "## Every rule\n\nLocalisation in 3D by rule; the baselines are given the best of theirs.\n\n"
    return title + table(head, rows)


def _oracles(name: str, found: Mapping[str, Any]) -> str:
    told = found["oracles"]
    rows = [(stage, *(rate(each["by_type"][kind]) for kind in TYPES)) for stage, each in told.items()]
    rows.append(("answer", *(rate(found["localisation_3d"][kind]) for kind in TYPES)))
    coverage = number(told["surface"].get("coverage"))
    return (
        f"## Where {name} loses answers\n\nShare right with the truth in place of other stages: the query's own choice "
        "(null phrases and calibration included) among true segments, by view averages (encoder) and by the field "
        "(field); any hit possible at all (surface); a segment that is the thing (segments); the chosen segment on it "
        "(selection); last, the answer itself. "
        f"Of the right objects' seen surface {coverage} is answerable.\n\n" + table(("stage", *TYPES.values()), rows)
    )


def _pictures(document: Mapping[str, Any]) -> str:
    worst = document.get("pictures") or []
    if not worst:
        return ""
    lines = [f"![{caption}]({name})\n\n{caption}\n" for name, caption in worst]
    return "## Worst failures\n\nThe surest wrong answers: right box green, answer a cross.\n\n" + "\n".join(lines)
