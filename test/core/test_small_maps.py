# SPDX-License-Identifier: Apache-2.0
"""Quicker layers against the layers they stand for, and a quicker tower against the plain encoder."""

import numpy as np
import pytest
import torch
from tiny_clip_model import SIDE
from torch import nn
from torch.nn import functional

from lerf_ros.config import Config
from lerf_ros.core.encoders import OpenClipEncoder, load_encoder
from lerf_ros.core.inference import folded, probe_images
from lerf_ros.core.small_maps import MatrixConvolution, PositiveMaxPool, quicker


def channels_last(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("side", "stride", "padding"), [(2, 1, 1), (4, 2, 1), (3, 1, 0), (4, 2, 0)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_of_a_small_map_is_its_matrix(side: int, stride: int, padding: int, bias: bool) -> None:
    layer = nn.Conv2d(5, 7, 3, stride, padding, bias=bias).requires_grad_(False)
    x = channels_last(6, 5, side, side)
    found = MatrixConvolution(layer, side, side)(x)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, layer(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooling_of_bits_is_pooling_of_what_is_positive(dtype: torch.dtype) -> None:
    x = channels_last(3, 4, 6, 10, dtype=dtype)
    x[0] = -x[0].abs()  # nothing positive at all
    x[1, 0, 0, 0], x[1, 0, 5, 9] = 50.0, 60.0  # in the corners
    before = x.clone()
    assert torch.equal(PositiveMaxPool()(x), functional.max_pool2d(torch.relu(x), 3, 2, 1))
    assert torch.equal(x, before)


class Tower(nn.Module):
    """The layers in question, and ones alike that must stay."""

    def __init__(self, before_pool: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.act = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), before_pool
        self.pool, self.second, self.last = nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 6, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.norm(self.first(x))))
        return self.last(self.second(x)).flatten(1)


@pytest.mark.parametrize(("act", "pooled"), [(nn.ReLU(), True), (nn.Hardtanh(-2, 2), False)])
def test_only_what_may_be_replaced_is(act: nn.Module, pooled: bool) -> None:
    tower = Tower(act).eval().requires_grad_(False)
    plain = folded(tower, "test")
    assert plain is not None
    quick = quicker(plain, 32, torch.float32)
    assert quick is not None
    kinds = [type(m) for m in quick.modules()]
    assert (PositiveMaxPool in kinds) == pooled
    assert kinds.count(MatrixConvolution) == 1  # 4 x 4 to 2 x 2, not 8 x 8 to 4 x 4
    x = channels_last(4, 3, 32, 32)
    torch.testing.assert_close(quick(x), tower(x), atol=1e-5, rtol=1e-5)


def test_a_tower_that_is_not_traced_is_left_alone() -> None:
    assert quicker(Tower(nn.ReLU()), 32, torch.float32) is None


def slow_twin(encoder: OpenClipEncoder, crops: np.ndarray) -> np.ndarray:
    """Plain layers in float32, one crop at a time."""
    with torch.no_grad():
        each = [encoder._visual(encoder._normalised(torch.from_numpy(crop[None]))) for crop in crops]
    return functional.normalize(torch.cat(each), dim=-1).numpy()


def crops_of(side: int) -> np.ndarray:
    """Return smooth pictures, blocks, flat colours and noise."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (12, 4, 4, 3)).repeat(side // 4, 1).repeat(side // 4, 2)
    flat = np.broadcast_to(np.array([0, 127, 255])[:, None, None, None], (3, side, side, 3))
    noise = rng.integers(0, 256, (4, side, side, 3))
    return np.concatenate([probe_images(side), *(np.asarray(part, np.uint8) for part in (blocks, flat, noise))])


def test_embeddings_are_those_of_the_plain_tower(encoder: OpenClipEncoder) -> None:
    assert encoder._quick is not None
    crops = crops_of(SIDE)
    assert (encoder.encode_images(crops) * slow_twin(encoder, crops)).sum(axis=1).min() > 0.9995


def test_the_bundled_encoders_embeddings_are_those_of_its_plain_tower() -> None:
    bundled = load_encoder(Config().encoder)
    assert bundled._quick is not None
    crops = crops_of(bundled.image_size)
    assert (bundled.encode_images(crops) * slow_twin(bundled, crops)).sum(axis=1).min() > 0.9995
