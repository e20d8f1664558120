# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from lerf_ros.config import EncoderConfig
from lerf_ros.core.encoders import load_encoder
from lerf_ros.tinyclip.batches import BatchMaker
from lerf_ros.tinyclip.crops import CROPS_PER_VIEW, VIEWS_PER_SCENE, write_shard
from lerf_ros.tinyclip.facts import load
from lerf_ros.tinyclip.model import WEIGHTS_FILE, tokenizer, write_skeleton
from lerf_ros.tinyclip.train import TrainConfig, Trainer, train
from lerf_ros.tinyclip.vocabulary import N_OBJECT_CATEGORIES, VALIDATION_SEED

SMALL = TrainConfig(steps=4, batch=16, warmup_steps=2, bfloat16=False, checkpoint_every=2, log_every=2)


def test_crops_are_the_same_for_the_same_seed_and_say_what_they_show(crops: Path, tmp_path: Path) -> None:
    images, facts = load(crops)
    write_shard(VALIDATION_SEED + 7, 1, tmp_path / "crops_again", "seen")
    again, _ = load(tmp_path)
    np.testing.assert_array_equal(images[: len(again)], again)
    assert len(again) > 0.9 * VIEWS_PER_SCENE * CROPS_PER_VIEW
    assert (facts.category[:, 0] >= 0).all()
    assert (np.diff(facts.centre.astype(float), axis=1) <= 0).all()  # sorted by weight at the middle
    assert facts.share.astype(float).sum(1).max() < 1.01
    objects = (facts.category[:, 0] < N_OBJECT_CATEGORIES).mean()
    assert 0.3 < objects < 0.9


def test_four_steps_run_save_and_load_as_an_encoder(crops: Path, tmp_path: Path) -> None:
    train(SMALL, crops, tmp_path / "run", tmp_path / "model")
    encoder = load_encoder(EncoderConfig(model=f"local-dir:{tmp_path / 'model'}"))
    assert (encoder.embed_dim, encoder.image_size) == (128, 64)
    texts = encoder.encode_texts(["a red mug", "object"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, atol=1e-5)
    assert sum(f.stat().st_size for f in (tmp_path / "model").iterdir()) < 15e6


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(crops: Path, tmp_path: Path) -> None:
    train(SMALL, crops, tmp_path / "whole", tmp_path / "a")
    write_skeleton(tmp_path / "b")
    maker = BatchMaker(*load(crops), tokenizer(tmp_path / "b"), SMALL.batch)
    first = Trainer(SMALL, maker, tmp_path / "halves", tmp_path / "b")
    first.advance()
    first.advance()
    first.save()
    second = Trainer(SMALL, maker, tmp_path / "halves", tmp_path / "b")
    assert second.step == 2
    second.advance()
    second.advance()
    second.save()
    one, two = (load_file(tmp_path / f / WEIGHTS_FILE) for f in "ab")
    assert all(torch.equal(one[k], two[k]) for k in one)
