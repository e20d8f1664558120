# SPDX-License-Identifier: Apache-2.0
"""Things that are slow to build, shared by the tests of the core."""

from pathlib import Path

import pytest
from tiny_clip_model import write_model

from lerf_ros.config import EncoderConfig
from lerf_ros.core.encoders import OpenClipEncoder, load_encoder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a random open_clip model."""
    return write_model(tmp_path_factory.mktemp("clip") / "model")


@pytest.fixture(scope="session")
def encoder(model_folder: Path) -> OpenClipEncoder:
    """Return that model, loaded."""
    return load_encoder(EncoderConfig(model=f"local-dir:{model_folder}"))
