# SPDX-License-Identifier: Apache-2.0
"""Relevancy images of novel views: from the view's own pyramid (LERF's 2D CLIP baseline), and from a rendered field."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32
from torch.nn import functional

from lerf_ros.config import Config
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.relevancy import CANONICAL, relevancy
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.eval.mapping import keyframes_of, map_keyframes
from lerf_ros.eval.views2d import NovelView

PYRAMID_SIZE: Final = (160, 120)
FIELD_SIZE: Final = (96, 72)
"""The paper's 30 scales of a larger image would take minutes of a processor core."""

Heat = dict[str, Float32[np.ndarray, "S H W"]]


def pyramid_heat(view: NovelView, phrases: Sequence[str], encoder: ImageTextEncoder, config: Config) -> Heat:
    """Return relevancy images of a view from nothing but that view, a pyramid level each."""
    (keyframe,) = keyframes_of([view.frame], encoder, config)
    mapper = map_keyframes([keyframe], encoder, config, 0)
    language = mapper.trainer.language
    assert language is not None
    assert keyframe.pyramid is not None
    width, height = PYRAMID_SIZE
    factor = view.frame.intrinsics.width / width
    v, u = ((a.ravel() + 0.5) * factor - 0.5 for a in np.mgrid[:height, :width])
    slots = np.full(len(u), language.bank.slot(keyframe.id), np.int64)
    levels = [np.full(len(u), level, np.float32) for level in range(len(keyframe.pyramid.tile_px))]
    each = [torch.from_numpy(language.bank.lookup(slots, u, v, at)) for at in levels]
    mapper.close()
    positives = torch.from_numpy(encoder.encode_texts(phrases))
    negatives = torch.from_numpy(encoder.encode_texts(CANONICAL))
    found = relevancy(functional.normalize(torch.stack(each), dim=-1), positives, negatives).numpy()
    return {phrase: image.reshape(len(each), height, width) for phrase, image in zip(phrases, found, strict=True)}


def field_heat(
    snapshot: FieldSnapshot, view: NovelView, phrases: Sequence[str], encoder: ImageTextEncoder, config: Config
) -> Heat:
    """Return relevancy images of a view rendered from the field, one for each of the query's scales."""
    field = FieldView(snapshot.weights, config, encoder.embed_dim)
    positives, negatives = encoder.encode_texts(phrases), encoder.encode_texts(CANONICAL)
    intrinsics = view.intrinsics.scaled(*FIELD_SIZE)
    scales = snapshot.language.scales_m
    found = field.relevancy(intrinsics, view.frame.T_world_cam, positives, negatives, scales)
    return dict(zip(phrases, found, strict=True))
