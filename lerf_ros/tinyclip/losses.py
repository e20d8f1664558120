# SPDX-License-Identifier: Apache-2.0
"""The training objective: contrastive, structured negatives, linear heads, LERF relevancy, composition of texts."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from lerf_ros.tinyclip.batches import RANDOM_TEXTS, Batch, BatchMaker
from lerf_ros.tinyclip.captions import phrased, spoken
from lerf_ros.tinyclip.model import EMBED_DIM
from lerf_ros.tinyclip.vocabulary import (
    ALL_CATEGORIES,
    ALL_COLOURS,
    CANONICAL,
    COLOUR_WORDS,
    HELD,
    N_COLOURS,
    N_OBJECT_CATEGORIES,
)

#: LERF's factor on cosines inside the pairwise softmax.
RELEVANCY_FACTOR: Final = 10.0
#: Near misses are punished once colours and shapes are roughly known.
NEAR_MISSES_FROM: Final = 0.357
_OFF: Final = -1e4
_HEAD_SCALE: Final = 11.0
_WEIGHTS: Final = {
    "contrastive": 0.5,
    "category": 0.5,
    "colour": 0.25,
    "pair": 0.4,
    "head_category": 0.5,
    "head_colour": 0.25,
    "relevancy": 0.5,
    "pair_relevancy": 0.3,
    "composition": 0.5,
}


class Heads(nn.Module):
    """Linear category and colour classifiers on the image embedding, dropped after training."""

    def __init__(self) -> None:
        super().__init__()
        self.category = nn.Linear(EMBED_DIM, len(ALL_CATEGORIES))
        self.colour = nn.Linear(EMBED_DIM, len(ALL_COLOURS))


@dataclass(frozen=True)
class PromptSet:
    """All texts of a step besides the captions, in blocks."""

    categories: list[str]
    colours: list[str]
    pairs: list[str]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "PromptSet":
        """Every category, colour and colour-category pair (withheld pairs too: as text only), one phrasing a block."""
        names = [spoken(rng, k) for k in range(len(ALL_CATEGORIES))]
        state = rng.integers(2**31)

        def say(nouns: list[str]) -> list[str]:
            return [phrased(np.random.default_rng(state), n) for n in nouns]

        things = names[:N_OBJECT_CATEGORIES]
        pairs = [f"{c} {n}" for c in COLOUR_WORDS for n in things]
        return cls(say(names), say([f"{c} object" for c in COLOUR_WORDS]), say(pairs))


@dataclass(frozen=True)
class Texts:
    """Unit embeddings of one step's texts."""

    captions: Float[Tensor, "B D"]
    canonical: Float[Tensor, "4 D"]
    noise: Float[Tensor, "R D"]
    categories: Float[Tensor, "19 D"]
    colours: Float[Tensor, "11 D"]
    pairs: Float[Tensor, "176 D"]


def all_tokens(batch: Batch, prompts: PromptSet, maker: BatchMaker) -> Int64[Tensor, "T L"]:
    """Token ids of everything `split` expects, in its order."""
    spoken_texts = maker.tokens([*CANONICAL, *prompts.categories, *prompts.colours, *prompts.pairs])
    return torch.cat([batch.tokens, batch.noise_tokens, spoken_texts])


def split(embeddings: Float[Tensor, "T D"], n_captions: int) -> Texts:
    """Cuts the text embeddings of `all_tokens` into their blocks."""
    sizes = [n_captions, RANDOM_TEXTS, len(CANONICAL), len(ALL_CATEGORIES), N_COLOURS, N_COLOURS * N_OBJECT_CATEGORIES]
    captions, noise, canonical, categories, colours, pairs = torch.split(embeddings, sizes)
    return Texts(captions, canonical, noise, categories, colours, pairs)


def _present(batch: Batch) -> tuple[Bool[Tensor, "B 19"], Bool[Tensor, "B 11"]]:
    """Which categories and colours occur anywhere in each crop (an UNKNOWN colour: all of them)."""
    rows = np.arange(len(batch.facts))
    category = np.zeros((len(rows), len(ALL_CATEGORIES)), bool)
    colour = np.zeros((len(rows), N_COLOURS), bool)
    for k in range(batch.facts.category.shape[1]):
        cat, col = batch.facts.category[:, k], batch.facts.colour[:, k]
        there = cat >= 0
        category[rows[there], cat[there]] = True
        named = there & (col >= 0) & (col < N_COLOURS)
        colour[rows[named], col[named]] = True
        # A background of unknown colour does not veto a colour: only objects do.
        colour[there & (col < 0) & (cat < N_OBJECT_CATEGORIES)] = True
    return torch.from_numpy(category), torch.from_numpy(colour)


def _contrastive(s: Tensor, image: Tensor, texts: Texts, batch: Batch) -> Tensor:
    """Image to text and back; what may be true of another crop is masked, canonical phrases are true negatives."""
    n = len(image)
    own = torch.eye(n, dtype=torch.bool)
    true = torch.from_numpy(batch.truth)
    generic = torch.tensor([c.generic for c in batch.captions])
    raw = s * image @ texts.captions.T
    to_image = raw.masked_fill(true & ~own, _OFF).T
    mask = true & ~own
    mask[:, generic] = False
    mask[generic] |= generic[None]
    to_text = raw.masked_fill(mask & ~own, _OFF)
    canonical = (s * image @ texts.canonical.T).masked_fill(generic[:, None], _OFF)
    to_text = torch.cat([to_text, canonical, s * image @ texts.noise.T], 1)
    label = torch.arange(n)
    return F.cross_entropy(to_text, label) + F.cross_entropy(to_image, label)


def _relevancy(image: Tensor, texts: Texts, batch: Batch, sure: Tensor) -> Tensor:
    """Binary cross-entropy of LERF's own score: true captions above every canonical phrase, false ones below."""
    canonical = (image @ texts.canonical.T).max(1, keepdim=True).values
    generic = torch.tensor([c.generic for c in batch.captions])
    score = RELEVANCY_FACTOR * (image @ texts.captions.T - canonical)
    yes = F.softplus(-score.diagonal())[sure & ~generic].mean()
    false = ~torch.from_numpy(batch.truth) & ~generic[None]
    no = F.softplus(score)[false].mean()
    unknown = F.softplus(RELEVANCY_FACTOR * (image @ texts.noise.T - canonical)).mean()
    return yes + no + 0.3 * unknown


def _pairs(image: Tensor, texts: Texts, labels: "_Labels") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cosines to the texts of all colours of the image's category, and all categories in its colour, with masks.

    A mask is True where the text may be true of something else in the crop, or names a withheld pair: those are never
    negatives.
    """
    rows = torch.arange(len(image))
    allowed = torch.ones(N_COLOURS, N_OBJECT_CATEGORIES, dtype=torch.bool)
    for held_colour, held_category in HELD:
        allowed[held_colour, held_category] = False
    cosines = (image @ texts.pairs.T).view(len(image), N_COLOURS, N_OBJECT_CATEGORIES)
    category, colour = labels.category, labels.colour
    off_colour = ~allowed[:, category].T | labels.other_colours
    off_category = ~allowed[colour] | labels.other_categories[:, :N_OBJECT_CATEGORIES]
    return cosines[rows, :, category], off_colour, cosines[rows, colour], off_category


def _pair(s: Tensor, image: Tensor, texts: Texts, labels: "_Labels") -> Tensor:
    """The right pair against wrong colours of its category and wrong categories in its colour."""
    by_colour, off_colour, by_category, off_category = _pairs(image, texts, labels)
    colours = F.cross_entropy((s * by_colour).masked_fill(off_colour, _OFF), labels.colour)
    return 0.5 * (colours + F.cross_entropy((s * by_category).masked_fill(off_category, _OFF), labels.category))


def _pair_relevancy(image: Tensor, texts: Texts, labels: "_Labels") -> Tensor:
    """As `_relevancy`, for the near misses: the category in a wrong colour, the colour on a wrong category."""
    by_colour, off_colour, by_category, off_category = _pairs(image, texts, labels)
    rows = torch.arange(len(image))
    canonical = (image @ texts.canonical.T).max(1, keepdim=True).values
    own = by_colour[rows, labels.colour, None]
    off_colour[rows, labels.colour] = True
    off_category[rows, labels.category] = True
    yes = F.softplus(-RELEVANCY_FACTOR * (own - canonical)).mean()
    colours = F.softplus(RELEVANCY_FACTOR * (by_colour - canonical))[~off_colour].mean()
    return yes + 0.5 * (colours + F.softplus(RELEVANCY_FACTOR * (by_category - canonical))[~off_category].mean())


def _composition(texts: Texts) -> Tensor:
    """Pulls text("a C K") towards text("a K") + text("a C object"), for all pairs, withheld ones included."""
    parts = texts.colours[:, None] + texts.categories[None, :N_OBJECT_CATEGORIES]
    target = F.normalize(parts, dim=-1).detach().reshape(len(texts.pairs), -1)
    return (1 - (texts.pairs * target).sum(-1)).mean()


@dataclass(frozen=True)
class _Labels:
    """What the captioned thing of each crop is, and which other categories and colours are in the crop."""

    category: Int64[Tensor, "B"]
    colour: Int64[Tensor, "B"]
    other_categories: Bool[Tensor, "B 19"]
    other_colours: Bool[Tensor, "B 11"]
    sure: Bool[Tensor, "B"]

    @classmethod
    def of(cls, batch: Batch) -> "_Labels":
        """Labels of a batch; `sure` where the thing is central and not too much cut off."""
        rows = np.arange(len(batch.facts))
        at = (rows, batch.main)
        category = torch.from_numpy(batch.facts.category[at].astype(np.int64))
        colour = torch.from_numpy(batch.facts.colour[at].astype(np.int64))
        complete = torch.from_numpy(batch.facts.complete[at] > 0.15)
        central = torch.from_numpy(batch.facts.centre[at] > 0.3)
        categories, colours = _present(batch)
        categories[torch.from_numpy(rows), category] = False
        named = (colour >= 0) & (colour < N_COLOURS)
        colours[torch.from_numpy(rows)[named], colour[named]] = False
        return cls(category, colour, categories, colours, central & (complete | (category >= N_OBJECT_CATEGORIES)))

    @property
    def named(self) -> Bool[Tensor, "B"]:
        """Sure, and its colour has a word."""
        return self.sure & (self.colour >= 0) & (self.colour < N_COLOURS)

    def take(self, chosen: Bool[Tensor, "B"]) -> "_Labels":
        """The labels of some of the crops."""
        return _Labels(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def objective(
    image_raw: Float[Tensor, "B D"], texts: Texts, s: Tensor, heads: Heads, batch: Batch, progress: float
) -> tuple[Tensor, dict[str, float]]:
    """Weighted sum of all terms, and each term's value with two accuracies for the log."""
    image = F.normalize(image_raw, dim=-1)
    labels = _Labels.of(batch)
    sure, named = labels.sure, labels.named
    told = sure & (labels.colour >= 0)
    objects = sure & (labels.category < N_OBJECT_CATEGORIES)
    pairs = named & objects
    by_category = (s * image @ texts.categories.T).masked_fill(labels.other_categories, _OFF)
    by_colour = (s * image @ texts.colours.T).masked_fill(labels.other_colours, _OFF)
    head_category, head_colour = heads.category(image * _HEAD_SCALE), heads.colour(image * _HEAD_SCALE)
    terms = {
        "contrastive": _contrastive(s, image, texts, batch),
        "category": F.cross_entropy(by_category[sure], labels.category[sure]),
        "colour": F.cross_entropy(by_colour[named], labels.colour[named]),
        "pair": _pair(s, image[pairs], texts, labels.take(pairs)),
        "head_category": F.cross_entropy(head_category[sure], labels.category[sure]),
        "head_colour": F.cross_entropy(head_colour[told], labels.colour[told]),
        "relevancy": _relevancy(image, texts, batch, sure),
        "composition": _composition(texts),
    }
    if progress >= NEAR_MISSES_FROM:
        terms["pair_relevancy"] = _pair_relevancy(image[pairs], texts, labels.take(pairs))
    total = torch.stack([_WEIGHTS[k] * v for k, v in terms.items()]).sum()
    values = {k: float(v.detach()) for k, v in terms.items()}
    values["acc_category"] = float((by_category.argmax(1) == labels.category)[objects].float().mean())
    values["acc_colour"] = float((by_colour.argmax(1) == labels.colour)[named].float().mean())
    return total, values
