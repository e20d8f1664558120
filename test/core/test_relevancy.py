# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from lerf_ros.core.relevancy import CANONICAL, FACTOR, choose_scale, relevancy


def test_constants_are_lerfs() -> None:
    assert CANONICAL == ("object", "things", "stuff", "texture")
    assert FACTOR == 10.0


def test_by_hand() -> None:
    # One point e = x. Phrase q has e.q = .6; negatives have e.c = .3 and .5: only the nearest one counts.
    e = torch.tensor([[[1.0, 0.0, 0.0]]])
    q = torch.tensor([[0.6, 0.8, 0.0]])
    c = torch.tensor([[0.3, 0.0, math.sqrt(1 - 0.09)], [0.5, 0.0, math.sqrt(0.75)]])
    expected = math.exp(6) / (math.exp(6) + math.exp(5))
    assert float(relevancy(e, q, c)) == pytest.approx(expected, rel=1e-5)


def test_a_phrase_equal_to_the_nearest_negative_has_one_half() -> None:
    e = torch.nn.functional.normalize(torch.randn(2, 7, 5), dim=-1)
    q = torch.nn.functional.normalize(torch.randn(1, 5), dim=-1)
    torch.testing.assert_close(relevancy(e, q, q), torch.full((1, 2, 7), 0.5))


def test_agrees_with_the_formula_written_out_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lerf_ros.core.relevancy.CHUNK", 8)
    e, q, c = (torch.nn.functional.normalize(torch.randn(*s, 6), dim=-1) for s in ((3, 9), (4,), (5,)))
    pairs = torch.stack([10 * torch.einsum("snd,pd->psn", e, q)[..., None].expand(4, 3, 9, 5),
                         10 * torch.einsum("snd,cd->snc", e, c)[None].expand(4, 3, 9, 5)], dim=-1)
    torch.testing.assert_close(relevancy(e, q, c), pairs.softmax(dim=-1)[..., 0].amin(dim=-1))


def test_points_that_no_view_covers_are_nothing_not_one_half() -> None:
    e = torch.zeros(1, 2, 3)
    e[0, 1, 0] = 1.0
    found = relevancy(e, torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    assert found[0, 0].tolist() == [0.0, 0.5]


def test_bfloat16_embeddings_lose_little() -> None:
    e, q, c = (torch.nn.functional.normalize(torch.randn(*s, 128), dim=-1) for s in ((2, 100), (3,), (4,)))
    torch.testing.assert_close(relevancy(e.bfloat16(), q, c), relevancy(e, q, c), atol=6e-3, rtol=0)


def test_scale_is_chosen_by_the_mean_of_the_best_not_by_one_outlier() -> None:
    scores = torch.full((3, 1000), 0.1)
    scores[0, 17] = 0.99  # one outlier
    scores[2, :10] = 0.8  # a thing
    assert choose_scale(scores, 0.01) == (2, pytest.approx(0.8))
    scale, score = choose_scale(scores, 1e-5)  # LERF's own rule: the single best
    assert (scale, score) == (0, pytest.approx(0.99))
