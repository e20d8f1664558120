# SPDX-License-Identifier: Apache-2.0
"""What the Markdown says of figures that are known."""

import dataclasses
from pathlib import Path

import eval_jobs
import pytest

from lerf_ros.config import from_flat
from lerf_ros.eval.configurations import configuration
from lerf_ros.eval.harness import Plan, document_of
from lerf_ros.eval.report import regulariser
from lerf_ros.eval.tables import markdown


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("tables")
    names = {"default": 0.05, "multi_view": 0.05, "paper": 0.04}
    records = {}
    for name, chance in names.items():
        record = eval_jobs.record(0, name)
        answered = [dataclasses.replace(a, chance=chance) if a.objects else a for a in record.answered]
        records[name] = [dataclasses.replace(record, answered=tuple(answered))]
    return markdown(document_of(Plan(1, 1, 0, folder), records, folder / "pictures"))


def test_every_row_says_what_it_was_made_with(text: str) -> None:
    assert "| default | 1 | none | 900 | 2048 | 3 |" in text
    assert "| multi_view | 1 | - | - | - | 3 |" in text
    assert "| paper | 1 | encoder patches | 400 | 1024 | 5 |" in text
    assert "the paper's design at 400 steps of 1024 rays (the paper: 30 000 of 4096)" in text
    assert "surface that 5 keyframes have seen, and its images of novel views are rendered at 96x72" in text
    assert "Warning" not in text


def test_chance_is_that_of_the_rows_it_names(text: str) -> None:
    assert "| a random point of default, multi_view | 0.050 |" in text
    assert "| a random point of paper | 0.040 |" in text


def test_existence_without_the_vocabulary_has_a_row_of_its_own(text: str) -> None:
    assert "| default, no_null | 1.000 (1.000); 1 |" in text
    assert "whole vocabulary" in text
    assert "paper, no_null" not in text


def test_the_regulariser_is_the_one_that_the_mapper_loads() -> None:
    paper = configuration("paper")
    with_file = from_flat({"encoder.regulariser_weights": "dino.pth"}, paper.config)
    assert regulariser(dataclasses.replace(paper, config=with_file)) == "dino"
    assert regulariser(configuration("paper_no_dino")) == "none"
    assert regulariser(configuration("default_dino")) == "encoder patches"
