# SPDX-License-Identifier: Apache-2.0
"""Patch features: where they come from, how they are looked up, and that the language field learns them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from analytic import Box, Sphere, render, ring
from colour_encoder import ColourEncoder
from mapped_scene import map_ring
from safetensors.torch import save_file

from lerf_ros.config import Config, from_flat
from lerf_ros.core import regulariser
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.keyframes import Keyframe
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.regulariser import DINO, DinoPatches, EncoderPatches, PatchFeatures, dino_cells, load_regulariser
from lerf_ros.errors import EncoderError

BALL = Sphere((0.08, 0.05, 0.035), 0.035, (200, 30, 30))
CRATE = Box((-0.10, -0.06, 0.03), (0.06, 0.08, 0.06), 0.3, (30, 30, 200))
OFF = from_flat(
    {
        "workspace.min_m": (-0.3, -0.3, -0.05), "workspace.max_m": (0.3, 0.3, 0.3), "train.rays": 64,
        "train.depth_rays": 64, "train.language_rays": 256, "keyframes.max_count": 3,
    }
)  # fmt: skip
ON = from_flat({"train.dino_weight": 1.0}, OFF)


class PatchEncoder(ColourEncoder):
    """The colour encoder, with the mean colour of 10 x 10 pixels and a constant as patch features of length 5 x."""

    seen = 0

    def patch_features(self, rgb: np.ndarray) -> np.ndarray:
        self.seen += 1
        height, width = (n // 10 * 10 for n in rgb.shape[:2])
        cells = rgb[: max(height, 10), : max(width, 10)]
        rows, columns = max(height // 10, 1), max(width // 10, 1)
        blocks = cells[: rows * 10, : columns * 10].astype(np.float32) / 255
        if height >= 10 and width >= 10:
            blocks = blocks.reshape(rows, 10, columns, 10, 3).mean(axis=(1, 3))
        else:
            blocks = blocks.mean(axis=(0, 1), keepdims=True)
        return np.asarray(5 * np.concatenate([blocks, np.full((*blocks.shape[:2], 1), 0.2)], axis=-1), np.float32)


def mapped(config: Config, encoder: ColourEncoder, views: int = 3, steps: int = 0) -> LerfMapper:
    return map_ring(config, encoder, (BALL, CRATE), views, steps)


@pytest.fixture(scope="module")
def dino_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with random weights of the right model."""
    torch.manual_seed(3)
    model = timm.create_model(DINO, pretrained=False, num_classes=0)
    path = tmp_path_factory.mktemp("dino") / "dino.safetensors"
    save_file(model.state_dict(), path)
    return path


@pytest.fixture
def small_dino(monkeypatch: pytest.MonkeyPatch, dino_file: Path) -> DinoPatches:
    """Return DINO on images of 48 pixels: the full size takes many seconds."""
    monkeypatch.setattr(regulariser, "SHORTER_SIDE_PX", 50)
    return DinoPatches(str(dino_file))


def test_it_is_off_by_default_and_then_asks_nothing_of_the_encoder() -> None:
    assert load_regulariser(OFF, ColourEncoder()) is None
    assert load_regulariser(from_flat({"encoder.regulariser": "none"}, ON), ColourEncoder()) is None
    assert load_regulariser(ON, None) is None
    mapper, encoder = LerfMapper(OFF, PatchEncoder()), PatchEncoder()
    keyframe = mapper.prepare(render((BALL,), ring(1)[0]))
    assert keyframe is not None
    assert keyframe.patches is None
    assert encoder.seen == 0
    assert mapper.trainer.language is not None
    assert mapper.trainer.language.patch_head is None
    assert not any(name.startswith("regulariser") for name in mapper.weights())


def test_an_encoder_without_patch_features_is_refused_with_the_remedy() -> None:
    with pytest.raises(EncoderError, match=r"colour has no patch features.*regulariser_weights.*dino_weight: 0"):
        LerfMapper(ON, ColourEncoder())


def test_the_encoders_patch_features_become_unit_vectors_in_half_precision() -> None:
    found = EncoderPatches(PatchEncoder())
    assert isinstance(found, PatchFeatures)
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[:10, 20:] = 153  # a cell of 0.6 0.6 0.6 0.2, of length sqrt(1.12)
    features = found.features(rgb)
    assert (features.shape, features.dtype, found.dim) == ((2, 3, 4), np.float16, 4)
    assert features[0, 2].tolist() == pytest.approx([0.6 / 1.12**0.5] * 3 + [0.2 / 1.12**0.5], abs=1e-3)
    assert features[1, 0].tolist() == [0, 0, 0, 1]


def test_features_that_are_not_finite_are_refused() -> None:
    class Broken(PatchEncoder):
        def patch_features(self, rgb: np.ndarray) -> np.ndarray:
            return np.full((2, 2, 4), np.nan, np.float32)

    with pytest.raises(EncoderError, match="NaN"):
        EncoderPatches(Broken())


def test_a_pixel_takes_the_feature_of_the_cell_it_lies_in() -> None:
    image = render((), ring(1)[0])  # 320 x 240
    patches = np.arange(3 * 4, dtype=np.float16).reshape(3, 4, 1)  # cells of 80 x 80 pixels
    frames = [Keyframe.of(7, image, None, patches), Keyframe.of(8, image, None, patches + 100)]
    pixel = np.array([(0, 0), (79, 79), (80, 79), (80, 80), (319, 239), (0, 239)], np.float32)
    index = np.array([0, 0, 0, 1, 0, 1])
    assert regulariser.lookup(frames, index, pixel, 1)[:, 0].tolist() == [0, 0, 1, 105, 11, 108]
    with pytest.raises(ValueError, match="9 has no patch features"):
        regulariser.lookup([Keyframe.of(9, image)], index[:1], pixel[:1], 1)


def test_the_field_learns_the_patch_features_of_what_it_sees() -> None:
    mapper = mapped(ON, PatchEncoder())
    first = mapper.step()
    for _ in range(60):
        last = mapper.step()
    assert first.dino > 0.5
    assert last.dino < 0.1 * first.dino
    assert last.clip < 0.5 * first.clip  # and language beside it
    assert last.loss == pytest.approx(last.photometric + last.clip + last.dino, rel=1e-5)
    head = mapper.trainer.language
    assert head is not None
    assert head.patch_head is not None
    with torch.no_grad():
        points = torch.tensor([[0.08, 0.05, 0.07], [0.2, -0.2, 0.0]])  # the top of the ball, and the table
        ball, table = head.patch_head(head.field.encode(points)).numpy()
    assert ball[0] - ball[1] > 0.2  # redder than green; after so few steps not as much as in truth (0.8)
    assert abs(table[0] - table[1]) < 0.1


def test_density_rendering_learns_them_too_and_does_not_normalise_them() -> None:
    # All features twice as long as a unit vector: only a sum that is left as it is can be as long.
    config = from_flat({"train.language_at": "density"}, ON)
    mapper = mapped(config, PatchEncoder())
    for frame in mapper.store.view():
        object.__setattr__(frame, "patches", frame.patches * np.float16(2))
    for _ in range(80):
        report = mapper.step()
    assert report.dino < 0.5  # unit vectors would be off by at least 1


def test_features_are_computed_once_a_keyframe_and_leave_with_it() -> None:
    encoder = PatchEncoder()
    mapper = mapped(ON, encoder, views=6, steps=2)
    assert encoder.seen == 1 + 6  # one to learn the width
    assert mapper.keyframe_count == 3
    assert all(frame.patches is not None and frame.patches.dtype == np.float16 for frame in mapper.store.view())


def test_the_head_is_saved_and_a_view_of_the_map_does_not_mind() -> None:
    mapper = mapped(ON, PatchEncoder(), steps=1)
    weights = mapper.weights()
    assert weights["regulariser.net.0.weight"].shape == (256, 8 * 4)  # no scale among its inputs
    assert weights["regulariser.net.2.weight"].shape == (4, 256)
    FieldView(weights, ON, ColourEncoder.embed_dim)
    mapper.reset()
    assert mapper.trainer.language is not None
    assert mapper.trainer.language.patch_head is not None


def test_language_starts_from_the_same_weights_with_and_without() -> None:
    on, off = (LerfMapper(config, PatchEncoder()).weights() for config in (ON, OFF))
    assert all(np.array_equal(on[name], value) for name, value in off.items())


def test_a_keyframe_without_features_is_refused_before_it_is_drawn_from() -> None:
    mapper = mapped(ON, PatchEncoder(), views=1)
    (frame,) = mapper.store.view()
    with pytest.raises(ValueError, match="patch features of width 4"):
        mapper.add(dataclasses.replace(frame, id=99, patches=None))
    assert mapper.keyframe_count == 1


def test_dino_sees_the_shorter_side_at_500_pixels() -> None:
    assert dino_cells(480, 640, 8) == (62, 83)  # 500 x 667 pixels, in whole patches of 8
    assert dino_cells(994, 738, 8) == (84, 62)
    assert dino_cells(240, 320, 8) == (62, 83)  # smaller images are enlarged


def test_dino_features_are_the_keys_of_the_last_layer(small_dino: DinoPatches, dino_file: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)  # 50 x 75 -> 6 x 9 patches
    found = small_dino.features(rgb)
    assert (found.shape, found.dtype, small_dino.dim) == ((6, 9, 384), np.float16, 384)
    # The slow twin: the tower block by block, and the last layer's key projection alone.
    model = small_dino._model
    import cv2

    image = cv2.resize(rgb, (72, 48), interpolation=cv2.INTER_AREA) / 255.0
    x = (torch.from_numpy(image).float() - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        tokens = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(x.permute(2, 0, 1)[None]))))
        for block in model.blocks[:-1]:
            tokens = block(tokens)
        last = model.blocks[-1]
        weight, bias = last.attn.qkv.weight[384:768], last.attn.qkv.bias[384:768]
        keys = torch.nn.functional.linear(last.norm1(tokens), weight, bias)[0, 1:].reshape(6, 9, 384)
    assert np.abs(found - keys.numpy()).max() < 0.01


def test_dino_is_used_when_its_file_is_given_and_in_training(
    monkeypatch: pytest.MonkeyPatch, dino_file: Path
) -> None:
    monkeypatch.setattr(regulariser, "SHORTER_SIDE_PX", 50)
    config = from_flat({"encoder.regulariser_weights": str(dino_file)}, ON)
    mapper = mapped(config, ColourEncoder(), views=2, steps=2)  # an encoder without patch features of its own
    assert np.isfinite(mapper.step().dino)
    assert mapper.weights()["regulariser.net.2.weight"].shape == (384, 256)


def test_plain_torch_files_are_read_too(tmp_path: Path, dino_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file

    monkeypatch.setattr(regulariser, "SHORTER_SIDE_PX", 16)
    torch.save(load_file(dino_file), tmp_path / "dino.pth")
    rgb = np.full((16, 16, 3), 90, np.uint8)
    assert np.array_equal(
        DinoPatches(str(tmp_path / "dino.pth")).features(rgb), DinoPatches(str(dino_file)).features(rgb)
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"'.*weights.safetensors' is no file"),
        (b"not tensors", r"weights.safetensors cannot be read"),
        ({"a": torch.zeros(2)}, rf"are not those of {DINO}.*Missing key"),
    ],
)
def test_a_weights_file_that_will_not_do_is_named(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "weights.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        save_file(content, path)
    with pytest.raises(EncoderError, match=message):
        DinoPatches(str(path))


def test_a_checkpoint_of_more_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "teacher": {"a": torch.zeros(2)}}, tmp_path / "checkpoint.pth")
    with pytest.raises(EncoderError, match="no plain table of tensors"):
        DinoPatches(str(tmp_path / "checkpoint.pth"))


@pytest.mark.parametrize("name", ["", DINO, f"hf-hub:timm/{DINO}"])
def test_a_model_that_would_have_to_be_fetched_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    config = from_flat({"encoder.regulariser": "dino", "encoder.regulariser_weights": name}, ON)
    with pytest.raises(EncoderError, match="not fetched from the network by name"):
        load_regulariser(config, PatchEncoder())
