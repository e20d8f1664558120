# SPDX-License-Identifier: Apache-2.0
"""Draws a caption for a crop from its facts, and says what the caption claims: of which crops it is true."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool

from lerf_ros.sim.catalog import with_article
from lerf_ros.tinyclip.facts import CropFacts
from lerf_ros.tinyclip.vocabulary import (
    ABSENT,
    ALL_CATEGORIES,
    ALL_COLOURS,
    ALL_PARTS,
    ALL_WORDS,
    CANONICAL,
    N_COLOURS,
    N_OBJECT_CATEGORIES,
    SYNONYMS,
    UNKNOWN,
)

ANY: Final = -1
GENERIC_SHARE: Final = 0.05
#: An object counts as what the crop is about from this centre weight on.
MAIN_CENTRE: Final = 0.2


@dataclass(frozen=True)
class Claim:
    """Something in the crop has this category, colour, word and part (indices; ANY where the caption says nothing)."""

    category: int = ANY
    colour: int = ANY
    word: int = ANY
    part: int = ANY


@dataclass(frozen=True)
class Caption:
    """A phrase and the claims that must all hold for it to be true; a canonical phrase claims nothing."""

    text: str
    claims: tuple[Claim, ...]

    @property
    def generic(self) -> bool:
        """Whether this is a canonical phrase."""
        return not self.claims


def main_row(facts: CropFacts, crop: int) -> int:
    """Row of what the crop is about: the most central object if it is central enough, else the most central thing."""
    objects = (facts.category[crop] >= 0) & (facts.category[crop] < N_OBJECT_CATEGORIES)
    central = objects & (facts.centre[crop] > MAIN_CENTRE)
    return int(np.argmax(central)) if central.any() else 0


def spoken(rng: np.random.Generator, category: int) -> str:
    """A name of the category, now and then a synonym."""
    name = ALL_CATEGORIES[category]
    return str(rng.choice(SYNONYMS.get(name, (name,))))


def phrased(rng: np.random.Generator, noun: str) -> str:
    """The noun phrase with an article, without one, or as a photo."""
    dice = rng.random()
    if dice < 0.5:
        return with_article(noun)
    if dice < 0.7:
        return noun
    return f"the {noun}" if dice < 0.85 else f"a photo of {with_article(noun)}"


def _background(rng: np.random.Generator, category: int, colour: int) -> Caption:
    noun = ALL_CATEGORIES[category]
    if colour == UNKNOWN or rng.random() < 0.35:
        return Caption(phrased(rng, spoken(rng, category)), (Claim(category),))
    return Caption(phrased(rng, f"{ALL_COLOURS[colour]} {noun}"), (Claim(category, colour),))


def _part(rng: np.random.Generator, facts: CropFacts, crop: int, row: int, noun: str, claim: Claim) -> Caption | None:
    part = int(np.argmax(facts.part_centre[crop, row]))
    if facts.part_centre[crop, row, part] < 0.25:
        return None
    name = ALL_PARTS[part]
    of = f"the {name} of {with_article(noun)}" if rng.random() < 0.7 else f"{noun} {name}"
    return Caption(of, (Claim(claim.category, claim.colour, ANY, part),))


def _relation(
    rng: np.random.Generator, facts: CropFacts, crop: int, row: int, noun: str, claim: Claim
) -> Caption | None:
    """ "a mug and a ball" or "a mug on a wooden table"."""
    others = [
        k
        for k in range(facts.category.shape[1])
        if k != row and facts.category[crop, k] != ABSENT and facts.share[crop, k] > 0.08
    ]
    if not others:
        return None
    k = int(rng.choice(others))
    category, colour = int(facts.category[crop, k]), int(facts.colour[crop, k])
    if category >= N_OBJECT_CATEGORIES:
        if ALL_CATEGORIES[category] != "table" or colour == UNKNOWN:
            return None
        other = f"{ALL_COLOURS[colour]} table"
        return Caption(f"{with_article(noun)} on {with_article(other)}", (claim, Claim(category, colour)))
    other = ALL_CATEGORIES[category]
    return Caption(f"{with_article(noun)} and {with_article(other)}", (claim, Claim(category)))


def _of_object(rng: np.random.Generator, facts: CropFacts, crop: int, row: int) -> Caption:
    category, colour = int(facts.category[crop, row]), int(facts.colour[crop, row])
    word = int(facts.word[crop, row])
    known = 0 <= colour < N_COLOURS
    if known and rng.random() < 0.1:
        return Caption(phrased(rng, f"{ALL_COLOURS[colour]} object"), (Claim(ANY, colour),))
    if word >= 0 and facts.share[crop, row] > 0.25 and rng.random() < 0.25:
        return Caption(f"a box of {ALL_WORDS[word].lower()}", (Claim(category, ANY, word),))
    name = spoken(rng, category)
    with_colour = known and rng.random() < 0.66
    noun = f"{ALL_COLOURS[colour]} {name}" if with_colour else name
    claim = Claim(category, colour if with_colour else ANY)
    dice = rng.random()
    special = None
    if dice < 0.07:
        special = _part(rng, facts, crop, row, noun, claim)
    elif dice < 0.14:
        special = _relation(rng, facts, crop, row, noun, claim)
    return special or Caption(phrased(rng, noun), (claim,))


def draw_caption(rng: np.random.Generator, facts: CropFacts, crop: int) -> Caption:
    """A phrase that is true of the crop; with a small chance one of the canonical phrases."""
    if rng.random() < GENERIC_SHARE:
        return Caption(str(rng.choice(CANONICAL)), ())
    row = main_row(facts, crop)
    category = int(facts.category[crop, row])
    if category >= N_OBJECT_CATEGORIES:
        return _background(rng, category, int(facts.colour[crop, row]))
    return _of_object(rng, facts, crop, row)


def truth_matrix(facts: CropFacts, captions: list[Caption]) -> Bool[np.ndarray, "B C"]:
    """Whether caption c could be true of crop b; an UNKNOWN colour could be any."""
    true = np.ones((len(facts), len(captions)), bool)
    parts = facts.part_centre > 0
    for k in range(2):
        claims = [c.claims[k] if k < len(c.claims) else Claim() for c in captions]
        said = np.array([(c.category, c.colour, c.word, c.part) for c in claims])[None, :, None, :]
        category, colour, word = (v[:, None, :] for v in (facts.category, facts.colour, facts.word))
        holds = (said[..., 0] == ANY) | (category == said[..., 0])
        holds &= (said[..., 1] == ANY) | (colour == said[..., 1]) | ((colour == UNKNOWN) & (category != ABSENT))
        holds &= (said[..., 2] == ANY) | (word == said[..., 2])
        shown = parts[:, :, np.maximum(said[0, :, 0, 3], 0)].transpose(0, 2, 1)
        holds &= (said[..., 3] == ANY) | shown
        true &= holds.any(-1)
    return true
