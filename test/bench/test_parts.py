# SPDX-License-Identifier: Apache-2.0
"""Every cheap part runs at tiny sizes and yields what its name promises; nothing here looks at a time."""

from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from bench.__main__ import main
from bench.context import Context, Options
from bench.parts import demo, growth, hashgrid, machine, publish, pyramid, quality, training
from bench.plots import curves_of, draw_all, family_of
from bench.rows import Point, Row, Target
from bench.store import RowStore
from bench.table import cells, markdown


@pytest.fixture
def context(tmp_path: Path) -> Context:
    folder = tmp_path / "bench"
    folder.mkdir()
    return Context(Options(threads=1, quick=True), folder)


def names(rows: list[Row]) -> set[str]:
    return {row.name for row in rows}


def test_the_machine_is_measured_and_described(context: Context) -> None:
    rows = list(machine.run(context))
    assert len(rows) == 4
    assert all(row.value is not None and row.value > 0 for row in rows)
    assert context.machine()["cores"] >= 1
    assert context.limit("triad_gb_per_s", 1) == rows[0].value
    assert context.limit("triad_gb_per_s", 99) is None


def test_hash_grid_without_a_peer(context: Context) -> None:
    rows = list(hashgrid.run(context))
    assert {"hashgrid_fwd_bwd", "hashgrid_fwd", "hashgrid_bwd", "hashgrid_fwd_bwd_2p17"} <= names(rows)
    assert all(row.value is not None and row.peer is None for row in rows)
    assert rows[0].target == Target(20.0, "ratio")
    assert rows[0].meets is None


def test_training_pyramid_publishing_and_growth(context: Context) -> None:
    rows = [row for part in (training, pyramid, publish, growth) for row in part.run(context)]
    wanted = {"mlp_language_fwd_bwd", "pyramid_crops_per_s", "publish_ms_10k", "relevancy_direct_ms_100k_4",
              "cloud_message_ms_1k", "step_time_1000_over_50_keyframes"}  # fmt: skip
    assert wanted <= names(rows)
    assert len(names(rows)) == len(rows)
    assert all(row.value is not None and row.value > 0 for row in rows)
    crops = next(row for row in rows if row.name == "pyramid_crops_per_s")
    assert crops.ratio is not None


def test_quality_without_a_capture_says_what_to_give(context: Context) -> None:
    (row,) = quality.run(context)
    assert (row.name, row.value) == ("psnr_120s", None)
    assert "LERF_BENCH_CAPTURE" in row.note


def test_the_best_of_the_peers_variants_counts() -> None:
    curves: dict[str, quality.Curve] = {
        "slow": {"plain": [(30.0, 10.0), (600.0, 25.0)]},
        "fast": {"plain": [(30.0, 15.0), (600.0, 20.0)]},
    }
    assert quality._best(curves, "plain", float("inf")) == {"peer": 25.0, "peer_name": "slow, 600 s"}
    assert quality._best(curves, "plain", 120.0) == {"peer": 15.0, "peer_name": "fast, 30 s"}
    assert quality._best(curves, "plain", 10.0) == {}
    assert quality._best({}, "plain", 10.0) == {}


def test_reports_of_demonstrations() -> None:
    report = {"query_ms_p50": 8.0, "query_ms_p95": 9.0, "node_peak_rss_mb": 900.0}
    reports = [
        {**report, "seed": s, "first_image_to_first_correct_answer_s": first, "process_s": wall, "passed": passed}
        for s, first, wall, passed in ((0, 6.0, 90.0, True), (1, None, 130.0, False), (2, 8.0, 100.0, True))
    ]
    found = {row.name: row for row in demo.rows(reports, 2)}
    assert found["first_correct_answer_s"].value == 8.0
    assert "seeds 0, 1, 2: 6.0, never, 8.0" in found["first_correct_answer_s"].note
    assert found["first_correct_answer_s"].meets is True
    assert (found["demo_wall_s"].value, found["demo_wall_s"].meets) == (100.0, True)
    assert found["demo_passed_share"].value == pytest.approx(2 / 3)
    never = {row.name: row for row in demo.rows(reports[1:2], 2)}
    assert never["first_correct_answer_s"].meets is False
    assert never["first_correct_answer_s"].as_dict()["value"] is None


def test_tables_tell_targets_and_ratios() -> None:
    row = Row("t", 2.0, "ms", 2, spread=0.25, peer=50.0, peer_name="them", target=Target(20.0, "ratio"), roofline=0.254,
              note="why", part="hashgrid")  # fmt: skip
    assert cells(row) == ("t", "2", "0.25", "ms", "50", "25", "25 %", "2", "1", "ratio >= 20: reached",
                          "peer: them, why")  # fmt: skip
    text = markdown([row], {"hashgrid": 12.3})
    assert text.startswith("### Targets\n")
    assert "### Part `hashgrid` (12 s)" in text
    assert text.count("| t | 2 | 0.25 | ms | 50 | 25 |") == 2


def test_curves_are_sorted_and_drawn(tmp_path: Path) -> None:
    rows = [Row(f"a{x}", float(x), "ms", 1, point=Point("query_p95", "4 phrases, idle", x)) for x in (100, 10, 1000)]
    rows.append(Row("b", 5.0, "ms", 1, spread=20.0, point=Point("query_p95", "4 phrases, training", 10)))
    rows.append(Row("none", None, "ms", 1, point=Point("query_p95", "4 phrases, training", 100)))
    rows.append(Row("lone", 1.0, "ms", 1, point=Point("cloud", "one point", 10)))
    curves = curves_of(rows, "query_p95")
    assert curves["4 phrases, idle"] == [(10, 10.0, 0.0), (100, 100.0, 0.0), (1000, 1000.0, 0.0)]
    assert curves["4 phrases, training"] == [(10, 5.0, 20.0)]
    assert family_of("4 phrases, idle") == family_of("4 phrases, training")
    files = draw_all(rows, tmp_path)
    assert files == [tmp_path / "query_p95.png"], "a single point is no curve"
    assert files[0].read_bytes()[:4] == b"\x89PNG"


def test_the_command_measures_prints_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setattr("bench.__main__.find_python", lambda given: given)
    app = Typer()
    app.command()(main)
    options = ["--quick", "--out", str(tmp_path), "--threads", "1", "--only"]
    first = CliRunner().invoke(app, [*options, "machine"])
    assert first.exit_code == 0, first.output
    assert "triad_gb_per_s_1t" in first.output
    assert "make bench-peers" in first.output
    before = RowStore(tmp_path).rows
    assert CliRunner().invoke(app, [*options, "machine"]).exit_code == 0
    assert RowStore(tmp_path).rows == before, "the second run found it done"
    shown = CliRunner().invoke(app, ["--markdown", str(tmp_path / "bench.json")])
    assert "| triad_gb_per_s_1t |" in shown.output
    assert CliRunner().invoke(app, [*options, "speed"]).exit_code == 2
