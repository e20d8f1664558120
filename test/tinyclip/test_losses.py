# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lerf_ros.tinyclip.batches import BatchMaker
from lerf_ros.tinyclip.facts import load
from lerf_ros.tinyclip.losses import NEAR_MISSES_FROM, Heads, PromptSet, all_tokens, objective, split
from lerf_ros.tinyclip.model import EMBED_DIM, tokenizer, write_skeleton
from lerf_ros.tinyclip.vocabulary import (
    ALL_CATEGORIES,
    CANONICAL,
    COLOUR_WORDS,
    HELD,
    N_COLOURS,
    N_OBJECT_CATEGORIES,
)

SIZE = 48


@pytest.fixture(scope="module")
def maker(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> BatchMaker:
    folder = tmp_path_factory.mktemp("skeleton")
    write_skeleton(folder)
    return BatchMaker(*load(crops), tokenizer(folder), SIZE)


def unit(rows: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, EMBED_DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_texts_are_cut_where_they_were_joined(maker: BatchMaker) -> None:
    batch = maker.draw(np.random.default_rng(0), 0.0)
    prompts = PromptSet.draw(np.random.default_rng(0))
    tokens = all_tokens(batch, prompts, maker)
    texts = split(tokens.float(), SIZE)
    assert torch.equal(texts.captions, batch.tokens.float())
    assert torch.equal(texts.canonical, maker.tokens(list(CANONICAL)).float())
    assert torch.equal(texts.pairs[-1], maker.tokens([prompts.pairs[-1]])[0].float())
    assert prompts.pairs[1].split()[-2:] == [COLOUR_WORDS[0], prompts.categories[1].split()[-1]]
    assert len(prompts.categories) == len(ALL_CATEGORIES)


def test_withheld_pairs_are_pulled_to_their_composition_only(maker: BatchMaker) -> None:
    """With the composition already met, nothing of the objective moves a withheld pair's text."""
    batch = maker.draw(np.random.default_rng(3), 1.0)
    tokens = all_tokens(batch, PromptSet.draw(np.random.default_rng(3)), maker)
    embeddings = unit(len(tokens), 1)
    texts = split(embeddings, SIZE)
    sums = texts.colours[:, None] + texts.categories[None, :N_OBJECT_CATEGORIES]
    pairs = F.normalize(sums, dim=-1).reshape(-1, EMBED_DIM).detach().requires_grad_()
    met = type(texts)(texts.captions, texts.canonical, texts.noise, texts.categories, texts.colours, pairs)
    loss, _ = objective(unit(SIZE, 2), met, torch.tensor(20.0), Heads(), batch, 1.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert pairs.grad is not None
    along = (pairs.grad - (pairs.grad * pairs).sum(-1, keepdim=True) * pairs).detach()  # only directions matter
    moved = along.norm(dim=-1).view(N_COLOURS, N_OBJECT_CATEGORIES) > 1e-6
    assert moved.sum() > 20
    assert not any(moved[colour, category] for colour, category in HELD)


def test_near_misses_count_from_their_time_on(maker: BatchMaker) -> None:
    batch = maker.draw(np.random.default_rng(4), 0.0)
    texts = split(unit(len(all_tokens(batch, PromptSet.draw(np.random.default_rng(4)), maker)), 5), SIZE)
    image, heads = unit(SIZE, 6), Heads()
    before = objective(image, texts, torch.tensor(10.0), heads, batch, NEAR_MISSES_FROM - 0.01)[1]
    after = objective(image, texts, torch.tensor(10.0), heads, batch, NEAR_MISSES_FROM + 0.01)[1]
    assert "pair_relevancy" not in before
    assert after["pair_relevancy"] > 0
    assert all(after[k] == pytest.approx(v) for k, v in before.items())


def test_an_image_on_its_caption_costs_less_than_one_on_another(maker: BatchMaker) -> None:
    batch = maker.draw(np.random.default_rng(5), 0.0)
    texts = split(unit(len(all_tokens(batch, PromptSet.draw(np.random.default_rng(5)), maker)), 7), SIZE)
    scale = torch.tensor(20.0)
    right = objective(texts.captions, texts, scale, Heads(), batch, 0.0)[1]
    wrong = objective(texts.captions.roll(1, 0), texts, scale, Heads(), batch, 0.0)[1]
    assert right["contrastive"] < wrong["contrastive"] - 5
    assert right["relevancy"] < wrong["relevancy"]
