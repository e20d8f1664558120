# SPDX-License-Identifier: Apache-2.0
"""Our figures as one more row of a published table, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from lerf_ros.eval.published import LERF_TABLE_1, OVERALL, OVS_LOCALISATION, OVS_MIOU, Figure, Row, Table

MEAN = "mean of scenes"
UNVERIFIED = "`?`: not read in the paper that measured it."


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report of `run_lerf_dataset` for people: each protocol's table with our row, then how it was got."""
    parts = [f"# Published datasets: {report['dataset']}\n", _settings(report)]
    lerf, ovs = report["lerf"], report["lerf_ovs"]
    if lerf["scenes"]:
        parts.append(_table(LERF_TABLE_1, lerf, "accuracy"))
    if ovs["scenes"]:
        parts += [_table(OVS_LOCALISATION, ovs, "accuracy"), _table(OVS_MIOU, ovs, "miou")]
    parts.append(_training(report["training"]))
    return "\n".join(parts)


def _settings(report: Mapping[str, Any]) -> str:
    budget = f"{report['steps']} steps" if report["steps"] else f"{report['seconds']:g} s"
    return (f"Every scene is mapped from its colour images alone, for {budget}, with the encoder `{report['encoder']}` "
            f"on {report['threads']} CPU thread(s), seed {report['seed']}.\n")  # fmt: skip


def _table(table: Table, found: Mapping[str, Any], key: str) -> str:
    """Return a published table with our row; scenes of ours that it has not come last."""
    ours = found["scenes"]
    columns = [*table.scenes, *(name for name in ours if name not in table.scenes)]
    rows = [["method", *columns, MEAN, OVERALL]]
    for row in table.rows:
        cells = [str(row.cells[c]) if c in row.cells else "" for c in columns]
        rows.append([row.method, *cells, _mean(table, row), str(row.cells.get(OVERALL, ""))])
    rows.append(["**ours**", *(_percent(ours[c][key]) if c in ours else "" for c in columns),
                 *(_percent(found[group][key]) for group in ("mean_of_scenes", "pooled"))])  # fmt: skip
    rows.append(["ours: phrases x views", *(str(ours[c]["n"]) if c in ours else "" for c in columns), "",
                 str(found["pooled"]["n"])])  # fmt: skip
    by_source = {row.source: [r.method for r in table.rows if r.source == row.source] for row in table.rows}
    sources = "; ".join(f"{', '.join(methods)}: {source}" for source, methods in by_source.items())
    low, high = found["pooled"]["interval_95"]
    interval = f" 95 % interval of ours, pooled: {100 * low:.1f} to {100 * high:.1f}." if key == "accuracy" else ""
    about = (
        f"In percent, {table.measure}. Column `{OVERALL}`: {table.overall}; ours is pooled over all phrases and views."
    )
    return f"## {table.name}\n\n{about}{interval} {UNVERIFIED}\n\n{_grid(rows)}\n\nSources: {sources}.\n"


def _mean(table: Table, row: Row) -> str:
    """Return the mean of a published row's scenes, where it has all of them."""
    cells = [row.cells[c] for c in table.scenes if c in row.cells]
    if len(cells) < len(table.scenes):
        return ""
    return str(Figure(sum(c.value for c in cells) / len(cells), all(c.verified for c in cells)))


def _training(training: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [["scene", "images", "views", "steps", "embedding, s", "training, s"]]
    for name, run in training.items():
        rows.append([name, *(str(run[k]) for k in ("images", "views", "steps", "encode_s", "train_s"))])
    return f"## Maps\n\n{_grid(rows)}\n"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _grid(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])
