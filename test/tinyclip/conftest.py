# SPDX-License-Identifier: Apache-2.0
"""Crops of two rendered scenes, shared by the tests of the encoder's training."""

from pathlib import Path

import open_clip  # noqa: F401  (with osmesa it must be imported before MuJoCo, whichever test asks for it first)
import pytest

from lerf_ros.tinyclip.crops import write_shard
from lerf_ros.tinyclip.vocabulary import VALIDATION_SEED


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    write_shard(VALIDATION_SEED + 7, 2, folder / "crops_seen_0", "seen")
    return folder
