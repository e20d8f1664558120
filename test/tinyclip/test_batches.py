# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import torch

from lerf_ros.tinyclip.batches import BatchMaker, colour_matrix
from lerf_ros.tinyclip.facts import load
from lerf_ros.tinyclip.model import CONTEXT, VOCABULARY, tokenizer, write_skeleton


@pytest.fixture(scope="module")
def maker(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> BatchMaker:
    folder = tmp_path_factory.mktemp("skeleton")
    write_skeleton(folder)
    return BatchMaker(*load(crops), tokenizer(folder), 32)


def test_a_seed_gives_the_same_batch(maker: BatchMaker) -> None:
    one, two, other = (maker.draw(np.random.default_rng(s), 0.5) for s in (1, 1, 2))
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.tokens, two.tokens)
    assert one.captions == two.captions
    assert not torch.equal(one.images, other.images)


def test_tokens_fit_and_unknown_phrases_end_as_phrases_do(maker: BatchMaker) -> None:
    batch = maker.draw(np.random.default_rng(0), 0.0)
    for tokens in (batch.tokens, batch.noise_tokens):
        assert tokens.shape == (32, CONTEXT)
        assert (tokens[:, 0] == VOCABULARY - 2).all()
        assert ((tokens == VOCABULARY - 1).sum(1) == 1).all()  # the text tower reads at the largest id: the end
        assert (tokens < VOCABULARY).all()


def test_truth_holds_on_the_diagonal_also_when_recoloured(maker: BatchMaker) -> None:
    for seed in range(4):
        assert maker.draw(np.random.default_rng(seed), 0.9).truth.diagonal().all()


def test_colour_matrices_keep_grey_grey() -> None:
    rng = np.random.default_rng(0)
    kinds = [colour_matrix(rng) for _ in range(100)]
    for matrix in kinds:
        np.testing.assert_allclose(matrix @ np.full(3, 0.5), np.full(3, 0.5), atol=1e-12)
    ranks = {int(np.linalg.matrix_rank(m)) for m in kinds}
    assert ranks == {1, 3}  # grey-scale has rank one, permutations and rotations have full rank
