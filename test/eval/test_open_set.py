# SPDX-License-Identifier: Apache-2.0
"""What a map answers without knowing the vocabulary: a phrase that fits, though another one fits better, is there."""

from dataclasses import replace

import numpy as np
import pytest
from known_scene import AXES, BALL, CONFIG, CRATE, KnownEncoder, axis, blend, snapshot_of

from lerf_ros.core.calibration import Calibration
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.eval.open_set import WithoutNullPhrases
from lerf_ros.eval.rules import answers

CALIBRATION = Calibration(-2.0, 0.5, 3.0, ("crate", "ball", "table"))


def test_the_null_phrases_alone_turn_a_phrase_down() -> None:
    encoder = KnownEncoder({"chest": blend(AXES["crate"], 0.6)})
    encoder.calibration = CALIBRATION
    snapshot = snapshot_of((BALL, CRATE), (AXES["ball"], AXES["crate"]))
    (closed,) = answers(snapshot, ("chest",), encoder, CONFIG)
    (open_,) = answers(snapshot, ("chest",), WithoutNullPhrases(encoder), CONFIG)
    # log-odds of the chest 10 x 0.6, of the null phrase "crate" 10 x 1: a margin of -4
    assert closed.status == "NOT_FOUND"
    assert closed.probability == pytest.approx(1 / (1 + np.exp(2 - 0.5 * 6 + 3 * 4)), rel=1e-3)
    assert open_.status == "FOUND"
    assert open_.score == pytest.approx(1 / (1 + np.exp(2 - 0.5 * 6)), rel=1e-3)
    (again,) = answers(snapshot, ("chest",), encoder, CONFIG)  # nothing remembered of the one is told by the other
    assert again.probability == closed.probability


def test_a_better_rival_no_longer_moves_the_answer_to_another_thing() -> None:
    # The crate fits by 6, yet its own name fits it by 10 and costs it 4; the ball fits by 5, and has no rival.
    encoder = KnownEncoder({"chest": 0.6 * axis(AXES["crate"]) + 0.5 * axis(AXES["ball"])})
    encoder.calibration = replace(CALIBRATION, null_phrases=("crate", "table"))
    snapshot = snapshot_of((BALL, CRATE), (AXES["ball"], AXES["crate"]))
    (closed,) = answers(snapshot, ("chest",), encoder, CONFIG)
    (open_,) = answers(snapshot, ("chest",), WithoutNullPhrases(encoder), CONFIG)
    places = [snapshot.surface.points[found.point] for found in (closed, open_)]
    assert np.linalg.norm(places[0] - BALL.centre) < 0.04
    assert abs(places[1][0] - CRATE.centre[0]) < 0.06


def test_the_encoder_is_the_same_in_everything_else() -> None:
    encoder = KnownEncoder()
    encoder.calibration = CALIBRATION
    bare = WithoutNullPhrases(encoder)
    assert isinstance(bare, ImageTextEncoder)
    assert bare.calibration == replace(CALIBRATION, null_phrases=(), margin=0.0)
    assert (bare.name, bare.sha256, bare.embed_dim, bare.image_size) == ("known", "k" * 64, 8, 8)
    assert np.array_equal(bare.encode_texts(("ball",)), encoder.encode_texts(("ball",)))
    crops = np.zeros((2, 8, 8, 3), np.uint8)
    assert np.array_equal(bare.encode_images(crops), encoder.encode_images(crops))
