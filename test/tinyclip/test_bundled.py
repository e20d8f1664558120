# SPDX-License-Identifier: Apache-2.0
"""The encoder that ships with the package."""

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import open_clip
import pytest

from lerf_ros.config import EncoderConfig
from lerf_ros.core.encoders import load_encoder
from lerf_ros.eval.existence import auroc
from lerf_ros.tinyclip.evaluate import score_scenes
from lerf_ros.tinyclip.model import VOCABULARY, WEIGHTS_FILE, tokenizer
from lerf_ros.tinyclip.vocabulary import CANONICAL, VALIDATION_SEED

FOLDER = Path(str(resources.files("lerf_ros") / "models" / "tinyclip"))


def test_the_folder_is_small_and_its_card_names_these_weights() -> None:
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) < 15e6
    digest = hashlib.sha256((FOLDER / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert digest in (FOLDER / "README.md").read_text()
    assert load_encoder(EncoderConfig()).sha256 == digest


def test_open_clip_loads_the_folder_without_help() -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{FOLDER}")
    assert model.visual.image_size in (64, (64, 64))
    assert preprocess is not None
    tokens = tokenizer(FOLDER)(["a red mug", "the handle of a yellow screwdriver"])
    assert tokens.shape == (2, 16)
    assert int(tokens.max()) == VOCABULARY - 1


def test_the_calibration_is_measured_and_parts_what_it_was_measured_on() -> None:
    calibration = load_encoder(EncoderConfig()).calibration
    assert "validation" in calibration.measured_on
    assert len(calibration.null_phrases) > 100
    # Two things fit the phrase well (relevancy .9): one better than it fits any other phrase, one worse.
    clear, other = calibration.probability(np.array([2.2, 2.2]), np.array([1.0, -3.0]))
    assert clear > 0.9
    assert other < 0.2
    # Nothing fits: no better than the canonical phrases, and other phrases fit better.
    assert calibration.probability(np.array([-1.0]), np.array([-2.0]))[0] < 0.1


def test_texts_compose() -> None:
    """ "A yellow mug" (never rendered) is nearest to what shares its word, and far from what shares none."""
    encoder = load_encoder(EncoderConfig())
    phrases = ["a yellow mug", "a mug", "a yellow object", "a blue hammer", *CANONICAL]
    withheld, mug, yellow, other, *canonical = encoder.encode_texts(phrases)
    assert min(withheld @ mug, withheld @ yellow) > 0.4
    assert min(withheld @ mug, withheld @ yellow) > withheld @ other + 0.3
    assert float(np.max(np.stack(canonical) @ withheld)) < 0.65


@pytest.mark.parametrize("choice", ["seen", "held"])
def test_it_localises_and_rejects_on_fixed_scenes(choice: str) -> None:
    scores = score_scenes(FOLDER, VALIDATION_SEED + 60_000, 2, "seen" if choice == "seen" else "held")
    hits = scores.tallies["colour+category"].all_views
    assert len(hits) >= 8
    assert np.mean(hits) >= 0.8
    apart = auroc(scores.present, [score for each in scores.absent.values() for score in each])
    assert apart is not None
    assert apart > 0.93
