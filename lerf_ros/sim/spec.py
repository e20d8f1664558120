# SPDX-License-Identifier: Apache-2.0
"""What is on the table, as data: drawn from a seed, or written by hand.

World frame `base_link`: arm base at the origin, table top z = 0, objects around (0.42, 0).
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from lerf_ros.sim.catalog import (
    CATEGORIES,
    CATEGORY_PARTS,
    COLOURS,
    FLOOR_KINDS,
    TABLE_KINDS,
    WORDS,
    is_held,
    possible_colours,
)
from lerf_ros.sim.mjcf import AssetBook, ObjectBuilder
from lerf_ros.sim.objects import MAKERS

PairChoice = Literal["seen", "held", "all"]

WORKSPACE_X_M: Final = (0.27, 0.60)
WORKSPACE_Y_M: Final = (-0.27, 0.27)
_TABLE_WEIGHTS: Final = (0.37, 0.09, 0.12, 0.10, 0.10, 0.04, 0.09, 0.09)
_PLACE_TRIES: Final = 80


@dataclass(frozen=True)
class ObjectSpec:
    """One object: what it is, where it starts, and the seed of its exact shape and shade.

    `colour` is None for an object whose colour has no word (training only); `part_colour` paints its parts apart.
    """

    name: str
    category: str
    colour: str | None
    position_xy_m: tuple[float, float]
    yaw_rad: float
    seed: int
    word: str | None = None
    part_colour: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Named parts of this category."""
        return CATEGORY_PARTS.get(self.category, ())


@dataclass(frozen=True)
class SceneSpec:
    """Everything that decides a scene; the same spec always compiles to the same model."""

    seed: int
    table: str
    floor: str
    objects: tuple[ObjectSpec, ...]


def _draw_pair(rng: np.random.Generator, category: str, choice: PairChoice) -> str:
    colours = possible_colours(category)
    if choice == "seen":
        colours = tuple(c for c in colours if not is_held(category, c))
    elif choice == "held":
        colours = tuple(c for c in colours if is_held(category, c)) or colours
    return str(rng.choice(colours))


def _footprint_m(category: str, seed: int) -> float:
    """Radius of the object's footprint, from a throw-away build with the same seed."""
    builder = ObjectBuilder("probe", np.random.default_rng(seed), AssetBook(), "", "", (0.5, 0.5, 0.5))
    return MAKERS[category](builder, None)


def _name(category: str, colour: str | None, word: str | None, taken: set[str]) -> str:
    stem = "_".join(part for part in (colour, word.lower() if word else None, category) if part)
    name, k = stem, 2
    while name in taken:
        name, k = f"{stem}_{k}", k + 1
    taken.add(name)
    return name


def _free_spot(
    rng: np.random.Generator, radius_m: float, placed: list[tuple[float, float, float]]
) -> tuple[float, float] | None:
    for _ in range(_PLACE_TRIES):
        x, y = rng.uniform(*WORKSPACE_X_M), rng.uniform(*WORKSPACE_Y_M)
        if all(np.hypot(x - px, y - py) > radius_m + pr + 0.006 for px, py, pr in placed):
            return float(x), float(y)
    return None


class _TableTop:
    """Puts objects on a table one by one, each in a free spot and with a name of its own."""

    def __init__(
        self, rng: np.random.Generator, choice: PairChoice, nameless_share: float, two_tone_share: float
    ) -> None:
        self._rng, self._choice = rng, choice
        self._nameless_share, self._two_tone_share = nameless_share, two_tone_share
        self._placed: list[tuple[float, float, float]] = []
        self._names: set[str] = set()

    def add(self, category: str) -> ObjectSpec | None:
        """One more object of this category; None if there is no room for it."""
        rng = self._rng
        seed = int(rng.integers(2**31))
        colour: str | None = _draw_pair(rng, category, self._choice)
        if rng.random() < self._nameless_share:
            colour = None
        word = str(rng.choice(WORDS)) if category == "box" and rng.random() < 0.5 else None
        part_colour = str(rng.choice(list(COLOURS))) if rng.random() < self._two_tone_share else None
        radius = _footprint_m(category, seed)
        spot = _free_spot(rng, radius, self._placed)
        yaw = float(rng.uniform(-np.pi, np.pi))
        if spot is None:
            return None
        self._placed.append((*spot, radius))
        name = _name(category, colour, word, self._names)
        return ObjectSpec(name, category, colour, spot, yaw, seed, word, part_colour)


def sample_spec(
    seed: int,
    *,
    choice: PairChoice = "seen",
    n_objects: int | None = None,
    nameless_share: float = 0.0,
    two_tone_share: float = 0.0,
    extra_weight: dict[str, float] | None = None,
) -> SceneSpec:
    """Draws a scene.

    Args:
        seed: decides everything.
        choice: which colour-category pairs may occur ("held": withheld ones, plus bananas and apples).
        n_objects: wanted number of objects (3..8 if None); one that finds no free spot is left out.
        nameless_share: share of objects in a colour without a word.
        two_tone_share: share of objects whose parts have another colour.
        extra_weight: relative frequency of some categories (1.0 for the others).
    """
    rng = np.random.default_rng(seed)
    table = str(rng.choice(TABLE_KINDS, p=_TABLE_WEIGHTS))
    floor = str(rng.choice(FLOOR_KINDS))
    count = n_objects if n_objects is not None else int(rng.integers(3, 9))
    weight = np.array([(extra_weight or {}).get(c, 1.0) for c in CATEGORIES])
    repeat = count > len(CATEGORIES) or rng.random() < 0.3
    categories = [str(c) for c in rng.choice(CATEGORIES, count, replace=repeat, p=weight / weight.sum())]
    table_top = _TableTop(rng, choice, nameless_share, two_tone_share)
    objects = [table_top.add(category) for category in categories]
    return SceneSpec(seed, table, floor, tuple(o for o in objects if o is not None))
