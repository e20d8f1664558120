# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import open_clip
import pytest
import torch
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from lerf_ros.config import Config, EncoderConfig, PyramidConfig
from lerf_ros.core import dense
from lerf_ros.core.encoders import Calibration, OpenClipEncoder, load_encoder
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.pyramid import build_pyramid, tile_grid
from lerf_ros.core.pyramid_bank import PyramidBank
from lerf_ros.core.towers import DenseTower, TransformerTower, dense_tower
from lerf_ros.errors import EncoderError

VIT = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
DENSE = PyramidConfig(mode="dense")


@pytest.fixture(scope="module")
def bundled() -> OpenClipEncoder:
    return load_encoder(EncoderConfig())


def tiny(**vision: Any) -> nn.Module:
    """Return a random open_clip model; its text side takes any phrase."""
    torch.manual_seed(0)
    model = open_clip.CLIP(16, {**VIT, **vision}, TEXT)
    model.visual.image_mean, model.visual.image_std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    return model


def encoder_of(model: nn.Module) -> OpenClipEncoder:
    def tokens(phrases: Sequence[str]) -> Tensor:
        return torch.ones(len(phrases), TEXT["context_length"], dtype=torch.long)

    return OpenClipEncoder(model, tokens, EncoderConfig(), "tiny", "", Calibration())


@pytest.fixture(scope="module")
def vit() -> OpenClipEncoder:
    return encoder_of(tiny())


def smooth(width: int, height: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 255, (height // 20, width // 20, 3)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


class MeanTower:
    """A tower whose cells are mean colours: the place of a window can be read off it. Crops of 4 x 4 cells."""

    image_size, stride_px, max_cells = 32, 8, 4096

    def cells(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, self.stride_px)[0]

    def pooled(self, windows: Tensor) -> Tensor:
        return windows.mean(dim=(2, 3))

    patches = cells


class MeanEncoder:
    """An encoder with that tower."""

    name, sha256, embed_dim, image_size, calibration = "mean colour", "", 3, 32, Calibration()

    def encode_images(self, crops: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    encode_texts = patch_features = encode_images

    def encode_dense(self, rgb: np.ndarray, tile_px: int) -> dense.DenseEmbeddings:
        height, width = rgb.shape[:2]
        layout = dense.plan(width, height, tile_px, MeanTower())
        found = dense.window_features(MeanTower(), rgb, layout, lambda x: x.permute(0, 3, 1, 2).float())
        return dense.DenseEmbeddings(*layout.lattice(width, height), found.view(layout.ny, layout.nx, 3).numpy())


def test_plan_by_hand() -> None:
    # 640 x 480, windows of 120 px = 4 cells, 2 cells apart: (640 / 120 x 4 - 4) / 2 = 8.67 -> 9 steps -> 22 columns
    # and (480 / 120 x 4 - 4) / 2 = 6 steps -> 16 rows; a cell is 640 / 22 = 29.09 x 30 px
    layout = dense.plan(640, 480, 120, MeanTower())
    assert layout == dense.DensePlan(rows=16, columns=22, side=4, step=2)
    assert (layout.nx, layout.ny) == (10, 7)
    np.testing.assert_allclose(layout.lattice(640, 480), [[2 * 640 / 22 - 0.5, 59.5], [2 * 640 / 22, 60]])
    # the last window ends at the image's edge
    assert layout.lattice(640, 480)[0, 0] + 9 * layout.lattice(640, 480)[1, 0] == pytest.approx(639.5 - 2 * 640 / 22)


def test_windows_have_fewer_cells_where_the_map_would_grow_too_large() -> None:
    # 640 x 480 with tiles of 24 px: 4 cells a tile would be 107 x 80 = 8533 cells; 24 sqrt(4096 / 307200) = 2.77 -> 2
    layout = dense.plan(640, 480, 24, MeanTower())
    assert (layout.side, layout.step) == (2, 1)
    assert layout.rows * layout.columns <= 4096
    assert dense.plan(640, 480, 8, MeanTower()).side == 1


@pytest.mark.parametrize("border", ["inside", "padded"])
def test_dense_features_are_of_the_right_places(border: str) -> None:
    # Colour encodes position: a window's mean colour is its centre
    v, u = np.mgrid[0:240, 0:320]
    rgb = np.stack([u * 0.75, v, np.full_like(u, 255)], axis=-1).astype(np.uint8)
    pyramid = build_pyramid(MeanEncoder(), rgb, PyramidConfig(mode="dense", border=border))
    assert pyramid.tile_px.tolist() == tile_grid(320, 240, PyramidConfig(border=border)).tile_px.tolist()
    for level in (0, 3, 6):
        nx, ny = pyramid.nx[level], pyramid.ny[level]
        found = pyramid.features[pyramid.offset[level] :][: nx * ny].astype(float).reshape(ny, nx, 3)
        x, y = (pyramid.first_px[level, a] + pyramid.stride_px[level, a] * np.arange(n) for a, n in ((0, nx), (1, ny)))
        inside = found[..., 2] > 254  # blue: windows without black border
        assert inside.sum() >= 6
        np.testing.assert_allclose(found[..., 0][inside], np.broadcast_to(x * 0.75, (ny, nx))[inside], atol=1.5)
        np.testing.assert_allclose(found[..., 1][inside], np.broadcast_to(y[:, None], (ny, nx))[inside], atol=1.5)
        assert inside.all() == (border == "inside")


def test_an_image_of_one_tile_gives_the_crops_own_embedding(bundled: OpenClipEncoder) -> None:
    rgb = smooth(240, 240)
    crop = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA)
    found = bundled.encode_dense(rgb, 240)
    assert found.features.shape == (1, 1, 128)
    assert float(found.features[0, 0] @ bundled.encode_images(crop[None])[0]) > 0.9999


def test_windows_resemble_the_crops_they_cover(bundled: OpenClipEncoder) -> None:
    # 4 x 4 coloured squares with a dot each. A crop is surrounded by zero padding, a window by its neighbourhood.
    # Measured over the squares: cosine 0.80 with the own crop, 0.60 with all; the own one is the nearest for 13 of 16.
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 255, (4, 4, 3)).astype(np.uint8).repeat(120, 0).repeat(120, 1)
    for v, u in np.mgrid[60:480:120, 60:480:120].reshape(2, -1).T:
        cv2.circle(rgb, (int(u), int(v)), 40, rng.integers(0, 255, 3).tolist(), -1)
    found = bundled.encode_dense(rgb, 120).features
    assert found.shape == (7, 7, 128)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
    tiles = [rgb[120 * j : 120 * j + 120, 120 * i : 120 * i + 120] for j in range(4) for i in range(4)]
    crops = bundled.encode_images(np.stack([cv2.resize(t, (64, 64), interpolation=cv2.INTER_AREA) for t in tiles]))
    cosine = crops @ found[::2, ::2].reshape(16, 128).T
    own = np.diag(cosine)
    assert own.mean() > 0.7
    assert own.mean() > cosine.mean() + 0.15
    assert (cosine.argmax(axis=0) == np.arange(16)).sum() >= 11


@pytest.mark.parametrize("colour", [(200, 40, 40), (40, 40, 200), (128, 128, 128)])
def test_one_colour_gives_one_embedding_inside(bundled: OpenClipEncoder, colour: tuple[int, int, int]) -> None:
    # Measured: windows away from the border agree to 0.999; with the zero-padded crop of that colour 0.65 to 0.86
    found = bundled.encode_dense(np.full((480, 640, 3), colour, np.uint8), 80).features[4:-4, 4:-4].reshape(-1, 128)
    crop = bundled.encode_images(np.full((1, 64, 64, 3), colour, np.uint8))[0]
    assert (found @ found.T).min() > 0.995
    assert (found @ crop).min() > 0.6


def slow_vit(visual: VisionTransformer, image: Tensor) -> Tensor:
    """MaskCLIP by the tower's own layers: in the last block a mask lets every token see itself alone."""
    x = visual._embeds(image)
    for block in visual.transformer.resblocks[:-1]:
        x = block(x)
    alone = torch.full((x.shape[1], x.shape[1]), float("-inf")).fill_diagonal_(0.0)
    x = visual.transformer.resblocks[-1](x, attn_mask=alone)
    return visual.ln_post(x)[0, 1:] @ visual.proj


@torch.no_grad()
def test_transformer_patches_are_those_of_its_slow_twin() -> None:
    visual = tiny().visual.eval()
    image = torch.randn(1, 3, 32, 32)
    tower = TransformerTower(visual, 32, "tiny")
    cells = tower.cells(image)
    each = tower.pooled(cells.flatten(1).T[:, :, None, None])
    torch.testing.assert_close(each, slow_vit(visual, image), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tower.pooled(cells[None]), each.mean(dim=0, keepdim=True), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_position_embeddings_are_interpolated_row_by_column() -> None:
    visual = tiny().visual.eval()
    rows = torch.arange(4.0).repeat_interleave(4)
    visual.positional_embedding[1:] = torch.stack([rows, torch.arange(4.0).repeat(4)], 1).repeat(1, 16)
    plane = TransformerTower(visual, 32, "tiny")._positions(8, 12)[1:].reshape(8, 12, 32)
    # cell (r, c) of 8 x 12 lies at (r + 0.5) / 2 - 0.5 and (c + 0.5) / 3 - 0.5 of 4 x 4; bicubic bends lines a little
    torch.testing.assert_close(plane[3:5, 5, 0], torch.tensor([1.25, 1.75]), atol=0.06, rtol=0)
    torch.testing.assert_close(plane[3, 5:7, 1], torch.tensor([4 / 3, 5 / 3]), atol=0.06, rtol=0)


def test_a_transformer_builds_a_dense_pyramid(vit: OpenClipEncoder) -> None:
    pyramid = build_pyramid(vit, smooth(100, 80), PyramidConfig(mode="dense", min_tile=0.2, levels=3))
    assert pyramid.features.shape == (pyramid.tiles, 16)
    np.testing.assert_allclose(np.linalg.norm(pyramid.features.astype(np.float32), axis=1), 1, atol=1e-3)
    bank = PyramidBank()
    slot = np.array([bank.add(0, pyramid)])
    at = bank.lookup(slot, pyramid.first_px[2:3, 0], pyramid.first_px[2:3, 1], np.array([2.0]))
    np.testing.assert_allclose(at[0], pyramid.features[pyramid.offset[2]].astype(np.float32), rtol=1e-3, atol=1e-4)


def test_patch_features_span_the_image(bundled: OpenClipEncoder, vit: OpenClipEncoder) -> None:
    # 640 x 480: shorter side 500 -> 16 cells of 32 px, the longer one 500 x 4/3 / 32 = 20.8 -> 21; 8 px: 62 x 83
    assert bundled.patch_features(smooth(640, 480)).shape == (16, 21, 512)
    keys = vit.patch_features(smooth(640, 480))
    assert keys.shape == (62, 83, 32)
    assert np.isfinite(keys).all()
    # one half black, one half white: away from the border's padding, cells change most where the image does
    rgb = np.zeros((480, 640, 3), np.uint8)
    rgb[:, 320:] = 255
    change = np.linalg.norm(np.diff(bundled.patch_features(rgb), axis=1), axis=-1).mean(axis=0)
    assert 8 <= 3 + change[3:-3].argmax() <= 11


@torch.no_grad()
def test_keys_are_what_the_last_block_attends_with() -> None:
    visual = tiny().visual.eval()
    image = torch.randn(1, 3, 32, 32)
    seen: list[Tensor] = []
    last = visual.transformer.resblocks[-1]
    handle = last.ln_1.register_forward_hook(lambda _m, _i, out: seen.append(out))
    visual(image)
    handle.remove()
    _, key, _ = nn.functional.linear(seen[0], last.attn.in_proj_weight, last.attn.in_proj_bias).chunk(3, dim=-1)
    found = TransformerTower(visual, 32, "tiny").patches(image)
    torch.testing.assert_close(found.flatten(1).T, key[0, 1:], rtol=1e-4, atol=1e-5)


def test_towers_that_cannot_say_so() -> None:
    resnet = tiny(layers=(1, 1, 1, 1), patch_size=None, image_size=64, width=16)
    with pytest.raises(EncoderError, match=r"no dense features.*ModifiedResNet"):
        encoder_of(resnet).encode_dense(smooth(80, 60), 30)
    pooling = tiny(attentional_pool=True, attn_pooler_heads=2)
    with pytest.raises(EncoderError, match="pools patches by attention"):
        dense_tower(pooling.visual, 32, False, "tiny")
    tokens = TimmModel("test_vit", 16, image_size=160)
    with pytest.raises(EncoderError, match="no dense features"):
        dense_tower(tokens, 160, False, "timm")


def test_an_encoder_without_dense_features_is_told_from_one_with_them(bundled: OpenClipEncoder) -> None:
    assert isinstance(bundled, dense.DenseEncoder)
    assert isinstance(MeanTower(), DenseTower)

    class Plain:
        name, embed_dim, image_size = "plain", 3, 32
        sha256, calibration = "", Calibration()
        encode_images = encode_texts = MeanEncoder.encode_images

    message = r"plain has no dense features: set pyramid\.mode to 'tiles'"
    with pytest.raises(EncoderError, match=message):
        build_pyramid(Plain(), smooth(80, 60), DENSE)
    with pytest.raises(EncoderError, match=message):  # before the first image
        LerfMapper(Config(pyramid=DENSE), Plain())
