# SPDX-License-Identifier: Apache-2.0
"""What crops show, as arrays: written by the renderer, read by training (which must not import the simulator)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float16, Int8, Int64, UInt8

from lerf_ros.tinyclip.vocabulary import ABSENT, ALL_PARTS

OBJECTS_PER_CROP: Final = 8


@dataclass(frozen=True)
class CropFacts:
    """What N crops show, objects sorted by centre weight, unused rows ABSENT.

    share: part of the crop's area; complete: part of the object's visible area that is inside; centre: share under a
    Gaussian of sigma 0.18 at the crop's middle; part_centre: the same for each named part.
    """

    category: Int8[np.ndarray, "N 8"]
    colour: Int8[np.ndarray, "N 8"]
    word: Int8[np.ndarray, "N 8"]
    share: Float16[np.ndarray, "N 8"]
    complete: Float16[np.ndarray, "N 8"]
    centre: Float16[np.ndarray, "N 8"]
    part_centre: Float16[np.ndarray, "N 8 5"]

    @classmethod
    def empty(cls, n: int) -> "CropFacts":
        """N crops that show nothing."""
        rows = (n, OBJECTS_PER_CROP)
        return cls(
            category=np.full(rows, ABSENT, np.int8),
            colour=np.full(rows, ABSENT, np.int8),
            word=np.full(rows, ABSENT, np.int8),
            share=np.zeros(rows, np.float16),
            complete=np.zeros(rows, np.float16),
            centre=np.zeros(rows, np.float16),
            part_centre=np.zeros((*rows, len(ALL_PARTS)), np.float16),
        )

    @classmethod
    def joined(cls, shards: "list[CropFacts]") -> "CropFacts":
        """Shards one after the other."""
        return cls(**{name: np.concatenate([getattr(s, name) for s in shards]) for name in cls.__dataclass_fields__})

    def __len__(self) -> int:
        return len(self.category)

    def take(self, index: Int64[np.ndarray, "B"]) -> "CropFacts":
        """The chosen crops."""
        return CropFacts(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


def load(folder: Path) -> tuple[UInt8[np.ndarray, "N 64 64 3"], CropFacts]:
    """All complete shards of a folder, in name order."""
    images: list[np.ndarray] = []
    facts: list[CropFacts] = []
    for path in sorted(folder.glob("crops_*.npy")):
        images.append(np.load(path))
        with np.load(path.with_suffix(".npz")) as told:
            facts.append(CropFacts(**{k: told[k] for k in CropFacts.__dataclass_fields__}))
    return np.concatenate(images), CropFacts.joined(facts)
