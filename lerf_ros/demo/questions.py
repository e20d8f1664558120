# SPDX-License-Identifier: Apache-2.0
"""What a scene is asked, and what the right answer is."""

from dataclasses import dataclass

import numpy as np

from lerf_ros.sim.catalog import CATEGORIES, possible_colours, with_article
from lerf_ros.sim.spec import SceneSpec

UNKNOWN_WORDS = ("bicycle", "telephone", "elephant", "sofa", "laptop")
EACH_KIND = 2


@dataclass(frozen=True)
class Question:
    """A phrase with its right answer.

    Attributes:
        phrase: as asked.
        kind: "colour+category", "category", "wrong colour", "absent category" or "unknown word".
        objects: indices of the objects that are a right answer; empty: it is not there.
    """

    phrase: str
    kind: str
    objects: tuple[int, ...]


def questions(spec: SceneSpec) -> tuple[Question, ...]:
    """Return every object by colour and category, two by category alone, and two absent phrases of each of three kinds.

    All are drawn by the scene's seed before anything is known of the answers.
    """
    rng = np.random.default_rng((spec.seed, 7))
    return (*_present(spec, rng), *_absent(spec, rng))


def _present(spec: SceneSpec, rng: np.random.Generator) -> list[Question]:
    pairs: dict[tuple[str, str], list[int]] = {}
    categories: dict[str, list[int]] = {}
    for index, item in enumerate(spec.objects):
        if item.colour is not None:
            pairs.setdefault((item.colour, item.category), []).append(index)
        categories.setdefault(item.category, []).append(index)
    out = [Question(with_article(f"{c} {k}"), "colour+category", tuple(found)) for (c, k), found in pairs.items()]
    single = [k for k, found in categories.items() if len(found) == 1]
    for category in rng.permutation(single)[:EACH_KIND]:
        out.append(Question(with_article(str(category)), "category", tuple(categories[str(category)])))
    return out


def _absent(spec: SceneSpec, rng: np.random.Generator) -> list[Question]:
    there = {(item.colour, item.category) for item in spec.objects}
    categories = {item.category for item in spec.objects}
    wrong = [(c, k) for k in sorted(categories) for c in possible_colours(k) if (c, k) not in there]
    missing = [(c, k) for k in CATEGORIES if k not in categories for c in possible_colours(k)]
    out = [Question(with_article(f"{c} {k}"), "wrong colour", ()) for c, k in _draw(rng, wrong)]
    out += [Question(with_article(f"{c} {k}"), "absent category", ()) for c, k in _draw(rng, missing)]
    unknown = [str(word) for word in rng.permutation(UNKNOWN_WORDS)[:EACH_KIND]]
    return out + [Question(with_article(word), "unknown word", ()) for word in unknown]


def _draw(rng: np.random.Generator, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Draw pairs of different categories."""
    chosen: dict[str, tuple[str, str]] = {}
    for i in rng.permutation(len(pairs)):
        chosen.setdefault(pairs[i][1], pairs[i])
    return list(chosen.values())[:EACH_KIND]
