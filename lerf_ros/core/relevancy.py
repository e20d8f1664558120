# SPDX-License-Identifier: Apache-2.0
"""Relevancy of embeddings to phrases (LERF section 3.5). Pure functions on torch tensors."""

import torch
from jaxtyping import Float
from torch import Tensor

CANONICAL = ("object", "things", "stuff", "texture")
"""What every phrase is compared with. They are always among the negatives."""

FACTOR = 10.0
"""Multiplier of cosines in the softmax: not in the paper's formula, but in its released code."""

CHUNK = 32_768


def log_odds(
    embeddings: Float[Tensor, "S N D"], positives: Float[Tensor, "P D"], negatives: Float[Tensor, "C D"]
) -> Float[Tensor, "P S N"]:
    """Return 10 (e.q - max_c e.c) of each phrase q against its nearest negative c.

    A zero embedding (a point or scale that no view covers) has minus infinity, not the 0 the formula would give.
    """
    scales, points, dim = embeddings.shape
    phrases = len(positives)
    queries = torch.cat([positives, negatives]).to(torch.float32)
    out = torch.empty(phrases, scales * points)
    flat = embeddings.reshape(-1, dim)
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK].to(torch.float32)  # a low-precision product would tie neighbouring points
        cosine = queries @ part.T
        margin = FACTOR * (cosine[:phrases] - cosine[phrases:].max(dim=0).values)
        bare = torch.linalg.vector_norm(part, dim=1) == 0
        out[:, start : start + CHUNK] = margin.masked_fill_(bare, float("-inf"))
    return out.reshape(phrases, scales, points)


def relevancy(
    embeddings: Float[Tensor, "S N D"], positives: Float[Tensor, "P D"], negatives: Float[Tensor, "C D"]
) -> Float[Tensor, "P S N"]:
    """Return, for each phrase, the least probability of it against each negative: a softmax over the pair.

    With unit vectors this is sigmoid(10 (e.q - max_c e.c)): 0.5 where the phrase fits as well as the nearest negative,
    0 where nothing is known.
    """
    return torch.sigmoid(log_odds(embeddings, positives, negatives))


def choose_scale(relevancies: Float[Tensor, "S N"], top_fraction: float) -> tuple[int, float]:
    """Return the scale whose best points score highest, and that score.

    The score is the mean of the best `top_fraction` of all points. LERF takes the single best one; an outlier then
    decides both scale and place.
    """
    count = max(1, round(top_fraction * relevancies.shape[1]))
    means = relevancies.topk(count, dim=1).values.mean(dim=1)
    scale = int(means.argmax())
    return scale, float(means[scale])
