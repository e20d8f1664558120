# SPDX-License-Identifier: Apache-2.0
"""nerfstudio's torch hash encoding, forward and backward."""

import time
from typing import Any

import torch
from nerfstudio.field_components.encodings import HashEncoding

_state: dict[str, Any] = {}


def prepare(
    threads: int, points: int, levels: int, features: int, log2_table: int, min_resolution: int, max_resolution: int
) -> None:
    """Make the encoding, uniform points of the unit cube, and a gradient to send back."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    _state["encoding"] = HashEncoding(
        num_levels=levels, min_res=min_resolution, max_res=max_resolution, log2_hashmap_size=log2_table,
        features_per_level=features, implementation="torch",
    )  # fmt: skip
    _state["points"] = torch.rand(points, 3)
    _state["gradient"] = torch.randn(points, levels * features)


def once() -> tuple[float, float]:
    """Return the wall times of one forward and one backward pass, seconds."""
    encoding, points = _state["encoding"], _state["points"]
    encoding.zero_grad(set_to_none=True)
    begin = time.perf_counter()
    out = encoding(points)
    middle = time.perf_counter()
    out.backward(_state["gradient"])
    return middle - begin, time.perf_counter() - middle
