# SPDX-License-Identifier: Apache-2.0
"""Rows are on the disk as they come; an interrupted or failed part is run again, one that ended is not."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bench.context import Context, Options
from bench.rows import Row
from bench.runs import PARTS, choose, run_parts
from bench.store import RowStore, StoreError, read_rows, read_seconds

Run = Callable[[Context], Iterator[Row]]


def row(name: str, value: float = 1.0) -> Row:
    return Row(name, value, "ms", 1)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Options(threads=1, quick=True), tmp_path / "bench")


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Run], None]:
    def replace(part: str, run: Run) -> None:
        module = ModuleType(f"bench.parts.{part}")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return replace


def names(folder: Path) -> list[str]:
    return [each["name"] for each in json.loads((folder / "bench.json").read_text())]


def test_an_interrupted_part_keeps_its_rows_and_is_run_again(
    tmp_path: Path, context: Context, put: Callable[[str, Run], None]
) -> None:
    calls: list[str] = []

    def good(_: Context) -> Iterator[Row]:
        calls.append("machine")
        yield row("a")

    def interrupted(_: Context) -> Iterator[Row]:
        yield row("b", 1.0)
        assert names(tmp_path) == ["a", "b"], "a row is on the disk before the next is measured"
        raise KeyboardInterrupt

    def whole(_: Context) -> Iterator[Row]:
        yield row("b", 2.0)
        yield row("c")

    put("machine", good)
    put("hashgrid", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_parts(context, RowStore(tmp_path), ["machine", "hashgrid"], "source")
    assert names(tmp_path) == ["a", "b"]
    put("hashgrid", whole)
    assert run_parts(context, RowStore(tmp_path), ["machine", "hashgrid"], "source") == {}
    assert names(tmp_path) == ["a", "b", "c"]
    assert [each.value for each in read_rows(tmp_path / "bench.json")] == [1.0, 2.0, 1.0]
    assert calls == ["machine"], "what ended is not run again"
    assert set(read_seconds(tmp_path / "bench")) == {"machine", "hashgrid"}


def test_a_part_that_fails_does_not_stop_the_others(
    tmp_path: Path, context: Context, put: Callable[[str, Run], None]
) -> None:
    def failing(_: Context) -> Iterator[Row]:
        yield row("a")
        raise RuntimeError("no such luck")

    put("machine", failing)
    put("hashgrid", lambda _: iter([row("b")]))
    store = RowStore(tmp_path)
    wrong = run_parts(context, store, ["machine", "hashgrid"], "source")
    assert wrong == {"machine": "RuntimeError: no such luck"}
    assert names(tmp_path) == ["a", "b"]
    assert [each.part for each in store.rows] == ["machine", "hashgrid"]


def test_other_code_other_settings_and_fresh_are_run_again(
    tmp_path: Path, context: Context, put: Callable[[str, Run], None]
) -> None:
    runs: list[int] = []

    def counting(_: Context) -> Iterator[Row]:
        runs.append(1)
        yield row("a")

    put("machine", counting)
    run_parts(context, RowStore(tmp_path), ["machine"], "source")
    run_parts(context, RowStore(tmp_path), ["machine"], "source")
    assert len(runs) == 1
    run_parts(context, RowStore(tmp_path), ["machine"], "another source")
    assert len(runs) == 2
    store = RowStore(tmp_path)
    store.forget(["machine"])
    assert names(tmp_path) == []
    run_parts(context, store, ["machine"], "another source")
    assert len(runs) == 3


def test_a_peer_that_comes_makes_its_parts_run_again_and_no_others(
    tmp_path: Path, context: Context, put: Callable[[str, Run], None]
) -> None:
    runs: list[str] = []

    def counting(name: str) -> Run:
        def run(_: Context) -> Iterator[Row]:
            runs.append(name)
            yield row(name)

        return run

    for name in ("machine", "hashgrid"):
        put(name, counting(name))
    run_parts(context, RowStore(tmp_path), ["machine", "hashgrid"], "source")
    context.peer_python = Path(sys.executable)
    run_parts(context, RowStore(tmp_path), ["machine", "hashgrid"], "source")
    assert runs == ["machine", "hashgrid", "hashgrid"]


def test_two_rows_of_one_name_are_refused(tmp_path: Path) -> None:
    store = RowStore(tmp_path)
    store.add("machine", row("a"))
    with pytest.raises(ValueError, match="two rows are named a"):
        store.add("hashgrid", row("a"))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"value": 1}]', '[{"name": "a", "target": 3}]'])
def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bench.json"
    file.write_text(text)
    with pytest.raises(StoreError, match="give another --out"):
        RowStore(tmp_path)
    assert file.read_text() == text


def test_parts_are_chosen_in_their_order() -> None:
    assert choose(["query", "machine"], slow=False) == ["machine", "query"]
    assert "psnr" not in choose([], slow=False)
    assert choose([], slow=True) == list(PARTS)
    assert choose(["psnr"], slow=False) == ["psnr"]
    with pytest.raises(ValueError, match="no part is called 'speed': choose from machine"):
        choose(["speed"], slow=False)
