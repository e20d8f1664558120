# SPDX-License-Identifier: Apache-2.0
"""What an evaluation scene is asked, and which objects are the right answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lerf_ros.sim.catalog import CATEGORIES, is_held, possible_colours, with_article
from lerf_ros.sim.spec import SceneSpec

PRESENT_TYPES: Final = ("seen_pair", "withheld_pair", "category", "colour")
PAIR_TYPES: Final = ("seen_pair", "withheld_pair")
ABSENT_KINDS: Final = ("wrong_colour", "absent_category", "unknown_word")
UNKNOWN_THINGS: Final = (
    "a bicycle", "a telephone", "an elephant", "a sofa", "a laptop", "a violin", "a red tractor", "a candle",
)  # fmt: skip
ABSENT_CATEGORIES: Final = 5
UNKNOWN_WORDS: Final = 4


@dataclass(frozen=True)
class Question:
    """A phrase with its right answer.

    Attributes:
        phrase: as asked.
        type: one of PRESENT_TYPES, or of ABSENT_KINDS when nothing on the table is it.
        objects: indices of the objects that are a right answer; empty: it is not there.
        distractor: a pair whose category stands there in another colour too.
    """

    phrase: str
    type: str
    objects: tuple[int, ...]
    distractor: bool = False


def questions(spec: SceneSpec) -> tuple[Question, ...]:
    """Return every pair, every category, every colour that one object alone has, and absent phrases of each kind.

    What is drawn is drawn by the scene's seed.
    """
    rng = np.random.default_rng((spec.seed, 11))
    return (*_present(spec), *_absent(spec, rng))


def _present(spec: SceneSpec) -> list[Question]:
    objects = list(enumerate(spec.objects))
    out: list[Question] = []
    for colour, category in dict.fromkeys((o.colour, o.category) for o in spec.objects):
        if colour is None:
            continue
        same = tuple(i for i, o in objects if o.category == category)
        right = tuple(i for i in same if spec.objects[i].colour == colour)
        kind = "withheld_pair" if is_held(category, colour) else "seen_pair"
        out.append(Question(with_article(f"{colour} {category}"), kind, right, len(same) > len(right)))
    for category in dict.fromkeys(o.category for o in spec.objects):
        right = tuple(i for i, o in objects if o.category == category)
        out.append(Question(with_article(category), "category", right))
    for colour in dict.fromkeys(o.colour for o in spec.objects):
        right = tuple(i for i, o in objects if o.colour == colour)
        if colour is not None and len(right) == 1 and colour != spec.table:
            out.append(Question(with_article(f"{colour} object"), "colour", right))
    return out


def _absent(spec: SceneSpec, rng: np.random.Generator) -> list[Question]:
    there = {(o.category, o.colour) for o in spec.objects}
    out: list[Question] = []
    for category in dict.fromkeys(o.category for o in spec.objects):
        wrong = [c for c in possible_colours(category) if (category, c) not in there]
        if wrong:
            out.append(Question(with_article(f"{_one(rng, wrong)} {category}"), "wrong_colour", ()))
    missing = [c for c in CATEGORIES if c not in {o.category for o in spec.objects}]
    for category in map(str, rng.permutation(missing)[:ABSENT_CATEGORIES]):
        phrase = with_article(f"{_one(rng, possible_colours(category))} {category}")
        out.append(Question(phrase, "absent_category", ()))
    return out + [Question(str(p), "unknown_word", ()) for p in rng.permutation(UNKNOWN_THINGS)[:UNKNOWN_WORDS]]


def _one(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
