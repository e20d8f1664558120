# SPDX-License-Identifier: Apache-2.0
import pytest

from lerf_ros.config import QueryConfig
from lerf_ros.core.phrases import phrase_fault, split_negation


@pytest.mark.parametrize(
    ("phrase", "wanted", "unwanted"),
    [
        ("a red mug", "a red mug", ()),
        ("a mug but not a blue mug", "a mug", ("a blue mug",)),
        ("a mug, but not a blue or red one", "a mug", ("a blue", "red one")),
        ("mug, not blue mug, red mug nor green mug", "mug", ("blue mug", "red mug", "green mug")),
        ("a forget me not flower", "a forget me not flower", ()),
        ("a sign that says do not enter", "a sign that says do not enter", ()),
        ("a not-equal sign", "a not-equal sign", ()),
        ("fruit except for bananas and not apples", "fruit", ("bananas", "apples")),
        ("a tool OTHER THAN a hammer", "a tool", ("a hammer",)),
        ("a notebook", "a notebook", ()),
        ("knot", "knot", ()),
        ("Tasse, rot", "Tasse, rot", ()),
    ],
)
def test_negations_are_taken_apart(phrase: str, wanted: str, unwanted: tuple[str, ...]) -> None:
    assert split_negation(phrase) == (wanted, unwanted)


@pytest.mark.parametrize("phrase", ["not a mug", "  but not red", "except for the mug", ", not mug"])
def test_a_phrase_that_says_only_what_it_is_not_names_nothing(phrase: str) -> None:
    assert "name a thing first" in phrase_fault(phrase, QueryConfig())


def test_words_that_only_begin_like_a_negation_are_fine() -> None:
    assert phrase_fault("notebook", QueryConfig()) == ""
    assert phrase_fault("not-equal sign", QueryConfig()) == ""
    assert phrase_fault("nothing in particular", QueryConfig()) == ""
