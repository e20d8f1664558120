# SPDX-License-Identifier: Apache-2.0
"""Index tables that crops, captions and losses share, and the seed ranges."""

from typing import Final

from lerf_ros.sim.catalog import CATEGORIES, COLOURS, HELD_COLOURS, PARTS, WORDS

BACKGROUNDS: Final = ("table", "floor", "robot arm")
ALL_CATEGORIES: Final = (*CATEGORIES, *BACKGROUNDS)
N_OBJECT_CATEGORIES: Final = len(CATEGORIES)

COLOUR_WORDS: Final = tuple(COLOURS)
SURFACE_KINDS: Final = ("wooden", "checkered", "marble")
ALL_COLOURS: Final = (*COLOUR_WORDS, *SURFACE_KINDS)
N_COLOURS: Final = len(COLOUR_WORDS)

ALL_PARTS: Final = PARTS
ALL_WORDS: Final = WORDS

#: Colour index of something whose colour has no word, or whose pixels were recoloured.
UNKNOWN: Final = -1
#: Fills the unused rows of a crop's object table; matches nothing.
ABSENT: Final = -9

CANONICAL: Final = ("object", "things", "stuff", "texture")

SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "mug": ("mug", "mug", "mug", "cup"),
    "can": ("can", "can", "can", "tin"),
    "duck": ("duck", "duck", "rubber duck"),
    "pan": ("pan", "pan", "frying pan"),
    "teapot": ("teapot", "teapot", "teapot", "tea pot"),
    "ball": ("ball",),
    "robot arm": ("robot arm", "robot"),
}

#: (colour index, category index) of the pairs never rendered for training.
HELD: Final = frozenset(
    (COLOUR_WORDS.index(colour), CATEGORIES.index(category))
    for category, colours in HELD_COLOURS.items()
    for colour in colours
)

TRAIN_SEED: Final = 1_000_000
VALIDATION_SEED: Final = 2_000_000
TEST_SEED: Final = 3_000_000

IMAGE_PX: Final = 64
