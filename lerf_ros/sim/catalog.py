# SPDX-License-Identifier: Apache-2.0
"""What the simulated world can contain: categories, colours, parts, printed words, and the withheld pairs."""

from typing import Final

Rgb = tuple[float, float, float]

CATEGORIES: Final[tuple[str, ...]] = (
    "mug", "bowl", "plate", "bottle", "can", "banana", "apple", "book", "box",
    "screwdriver", "hammer", "duck", "ball", "spoon", "teapot", "pan",
)  # fmt: skip

COLOURS: Final[dict[str, Rgb]] = {
    "red": (0.85, 0.08, 0.08),
    "green": (0.10, 0.60, 0.15),
    "blue": (0.08, 0.18, 0.80),
    "yellow": (0.95, 0.85, 0.08),
    "orange": (0.97, 0.45, 0.03),
    "purple": (0.48, 0.12, 0.65),
    "pink": (0.97, 0.55, 0.72),
    "brown": (0.38, 0.20, 0.09),
    "black": (0.06, 0.06, 0.06),
    "white": (0.93, 0.93, 0.93),
    "gray": (0.50, 0.50, 0.50),
}

#: Categories that occur only in their natural colours.
NATURAL_COLOURS: Final[dict[str, tuple[str, ...]]] = {
    "banana": ("yellow", "green"),
    "apple": ("red", "green", "yellow"),
}

#: Colour-category pairs never rendered for encoder training: they measure composition, not memory.
HELD_COLOURS: Final[dict[str, tuple[str, str]]] = {
    "mug": ("yellow", "purple"),
    "bowl": ("red", "black"),
    "plate": ("blue", "orange"),
    "bottle": ("pink", "white"),
    "can": ("green", "brown"),
    "book": ("purple", "gray"),
    "box": ("orange", "black"),
    "screwdriver": ("blue", "brown"),
    "hammer": ("green", "pink"),
    "duck": ("blue", "white"),
    "ball": ("brown", "yellow"),
    "spoon": ("red", "gray"),
    "teapot": ("green", "orange"),
    "pan": ("yellow", "pink"),
}

PARTS: Final[tuple[str, ...]] = ("handle", "head", "cap", "spout", "lid")
CATEGORY_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "mug": ("handle",),
    "bottle": ("cap",),
    "screwdriver": ("handle",),
    "hammer": ("handle", "head"),
    "duck": ("head",),
    "spoon": ("handle",),
    "teapot": ("handle", "spout", "lid"),
    "pan": ("handle",),
}

WORDS: Final[tuple[str, ...]] = ("TEA", "MILK", "SALT", "RICE", "SOUP", "FRAGILE")

TABLE_KINDS: Final[tuple[str, ...]] = ("wooden", "checkered", "marble", "white", "gray", "black", "green", "blue")
FLOOR_KINDS: Final[tuple[str, ...]] = ("gray", "white", "brown", "wooden")


def possible_colours(category: str) -> tuple[str, ...]:
    """Colour words an object of this category may carry."""
    return NATURAL_COLOURS.get(category, tuple(COLOURS))


def is_held(category: str, colour: str | None) -> bool:
    """Whether the pair is withheld from encoder training."""
    return colour in HELD_COLOURS.get(category, ())


def pairs(*, held: bool) -> list[tuple[str, str]]:
    """All (category, colour) pairs that are withheld (`held=True`) or seen (`held=False`), in a fixed order."""
    return [(c, k) for c in CATEGORIES for k in possible_colours(c) if is_held(c, k) == held]


def with_article(noun: str) -> str:
    """Return "an orange mug" for "orange mug"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
