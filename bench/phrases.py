# SPDX-License-Identifier: Apache-2.0
"""Phrases to ask, each new: an encoder that remembers phrases gains nothing."""

from collections.abc import Iterator
from itertools import product

import numpy as np

SIZES = ("small", "large", "shiny", "old", "broken", "clean", "round", "plastic", "wooden", "metal")
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "brown", "grey", "white", "black", "pink", "turquoise")
THINGS = ("mug", "bottle", "box", "ball", "spoon", "hammer", "apple", "can", "plate", "key", "duck", "screwdriver",
          "banana", "book", "brush", "sponge", "phone", "glass", "pen", "tape", "clamp", "cable", "fork",
          "jar")  # fmt: skip


def new_phrases(seed: int = 0) -> Iterator[str]:
    """Yield 2,880 phrases in random order without repeating one, then all of them again."""
    every = [" ".join(words) for words in product(SIZES, COLOURS, THINGS)]
    order = np.random.default_rng(seed).permutation(len(every))
    while True:
        yield from (every[k] for k in order)
