# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from lerf_ros.tinyclip.captions import Caption, Claim, draw_caption, main_row, truth_matrix
from lerf_ros.tinyclip.facts import CropFacts, load
from lerf_ros.tinyclip.vocabulary import (
    ALL_CATEGORIES,
    ALL_COLOURS,
    ALL_PARTS,
    CANONICAL,
    HELD,
    UNKNOWN,
)

MUG, BALL, TABLE = (ALL_CATEGORIES.index(c) for c in ("mug", "ball", "table"))
RED, BLUE, WOODEN = (ALL_COLOURS.index(c) for c in ("red", "blue", "wooden"))
HANDLE = ALL_PARTS.index("handle")


def two_crops() -> CropFacts:
    """0: a red mug with its handle on a wooden table. 1: a ball of unknown colour."""
    facts = CropFacts.empty(2)
    for k, (category, colour, centre) in enumerate(((MUG, RED, 0.6), (TABLE, WOODEN, 0.4))):
        facts.category[0, k], facts.colour[0, k], facts.word[0, k], facts.centre[0, k] = category, colour, -1, centre
        facts.share[0, k] = 0.5
    facts.part_centre[0, 0, HANDLE] = 0.3
    facts.category[1, 0], facts.colour[1, 0], facts.word[1, 0], facts.centre[1, 0] = BALL, UNKNOWN, -1, 1.0
    return facts


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ((Claim(MUG),), (True, False)),
        ((Claim(MUG, RED),), (True, False)),
        ((Claim(MUG, BLUE),), (False, False)),
        ((Claim(BALL, BLUE),), (False, True)),  # an unknown colour could be blue
        ((Claim(-1, RED),), (True, True)),
        ((Claim(MUG, -1, -1, HANDLE),), (True, False)),
        ((Claim(MUG), Claim(TABLE, WOODEN)), (True, False)),
        ((Claim(MUG), Claim(BALL)), (False, False)),
        ((Claim(MUG, -1, 0),), (False, False)),  # no word is printed on it
        ((), (True, True)),
    ],
)
def test_a_caption_is_true_of_the_crops_that_show_what_it_claims(
    claims: tuple[Claim, ...], expected: tuple[bool, bool]
) -> None:
    np.testing.assert_array_equal(truth_matrix(two_crops(), [Caption("any", claims)])[:, 0], expected)


def test_every_drawn_caption_is_true_of_its_own_crop_and_never_names_a_withheld_pair(crops: Path) -> None:
    _, facts = load(crops)
    rng = np.random.default_rng(0)
    captions = [draw_caption(rng, facts, k) for k in range(len(facts))]
    assert truth_matrix(facts, captions).diagonal().all()
    claimed = {(c.colour, c.category) for caption in captions for c in caption.claims}
    assert not claimed & HELD
    assert 0.01 < np.mean([c.generic for c in captions]) < 0.12
    assert all((c.text in CANONICAL) == c.generic for c in captions)


def test_the_most_central_object_is_what_the_crop_is_about() -> None:
    facts = two_crops()
    assert main_row(facts, 0) == 0
    facts.centre[0] = 0
    facts.centre[0, :2] = (0.1, 0.9)
    assert main_row(facts, 0) == 0  # nothing is central enough: the first row, which the renderer sorts by weight
