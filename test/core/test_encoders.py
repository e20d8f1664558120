# SPDX-License-Identifier: Apache-2.0
import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from tiny_clip_model import DIM, SIDE, write_model

from lerf_ros.config import EncoderConfig
from lerf_ros.core.calibration import Calibration
from lerf_ros.core.encoders import OpenClipEncoder, load_encoder
from lerf_ros.errors import EncoderError


def load(folder: Path) -> OpenClipEncoder:
    return load_encoder(EncoderConfig(model=f"local-dir:{folder}"))


def pictures(count: int) -> np.ndarray:
    """Return smooth random images; noise would make every embedding the same."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (count, 4, 4, 3)).astype(np.uint8)
    return np.ascontiguousarray(small.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2))


def test_images_agree_with_open_clip_itself(model_folder: Path, encoder: OpenClipEncoder) -> None:
    crops = pictures(5)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{model_folder}")
    from PIL import Image

    with torch.no_grad():
        plain = model.eval().encode_image(torch.stack([transform(Image.fromarray(c)) for c in crops]), normalize=True)
    ours = encoder.encode_images(crops)
    assert ours.shape == (5, DIM)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert (ours * plain.numpy()).sum(axis=1).min() > 0.999


def test_batches_do_not_change_embeddings(model_folder: Path, encoder: OpenClipEncoder) -> None:
    small = load_encoder(EncoderConfig(model=f"local-dir:{model_folder}", batch_size=3))
    np.testing.assert_allclose(small.encode_images(pictures(7)), encoder.encode_images(pictures(7)), atol=5e-3)


def test_texts_are_unit_repeatable_and_in_order(encoder: OpenClipEncoder) -> None:
    both = encoder.encode_texts(["a red mug", "ein roter Becher äöü 漢字 🍵"])
    again = encoder.encode_texts(["ein roter Becher äöü 漢字 🍵", "a red mug"])
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(both, again[::-1])
    assert abs(float(both[0] @ both[1])) < 0.9999
    assert encoder.encode_texts(["long " * 500]).shape == (1, DIM)


def test_nothing_in_nothing_out(encoder: OpenClipEncoder) -> None:
    assert encoder.encode_images(np.zeros((0, SIDE, SIDE, 3), np.uint8)).shape == (0, DIM)
    assert encoder.encode_texts([]).shape == (0, DIM)


def test_crops_of_another_size_are_refused(encoder: OpenClipEncoder) -> None:
    with pytest.raises(EncoderError, match=f"{SIDE} x {SIDE}"):
        encoder.encode_images(np.zeros((1, SIDE + 1, SIDE, 3), np.uint8))


def test_provenance_and_calibration_come_from_the_folder(model_folder: Path, encoder: OpenClipEncoder) -> None:
    import hashlib

    assert encoder.sha256 == hashlib.sha256((model_folder / "open_clip_model.safetensors").read_bytes()).hexdigest()
    assert encoder.calibration == Calibration(-7.0, 10.0, 1.0, ("a mug",), 0.8, "a test")
    assert encoder.name == f"local-dir:{model_folder}"


def test_missing_folder_and_missing_files_are_named(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(EncoderError, match="no open_clip model"):
        load(tmp_path / "nowhere")
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(model_folder / "open_clip_config.json", bare)
    with pytest.raises(EncoderError, match="holds no weights"):
        load(bare)


def copied(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def test_truncated_weights_are_refused(tmp_path: Path, model_folder: Path) -> None:
    folder = copied(model_folder, tmp_path)
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(EncoderError, match="damaged"):
        load(folder)


def test_weights_of_another_model_are_refused(tmp_path: Path, model_folder: Path) -> None:
    folder = copied(model_folder, tmp_path)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = DIM + 8
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(EncoderError, match="do not fit"):
        load(folder)


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="NaN"):
        load(write_model(tmp_path / "poisoned", poison=True))


def test_broken_calibration_is_refused(tmp_path: Path, model_folder: Path) -> None:
    folder = copied(model_folder, tmp_path)
    (folder / "calibration.json").write_text("{")
    with pytest.raises(EncoderError, match=r"calibration\.json"):
        load(folder)


def test_unknown_names_and_missing_checkpoints_say_what_to_do() -> None:
    with pytest.raises(EncoderError, match="no open_clip name"):
        load_encoder(EncoderConfig(model="ViT-Z-99"))
    with pytest.raises(EncoderError, match="laion2b"):
        load_encoder(EncoderConfig(model="ViT-B-16"))
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(EncoderConfig(model="ViT-B-16", pretrained="/nowhere/weights.safetensors"))


def test_a_hub_without_network_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match="without network"):
        load_encoder(EncoderConfig(model="hf-hub:nobody/nothing"))
