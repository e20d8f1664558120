# SPDX-License-Identifier: Apache-2.0
"""The files of an encoder: the folder the configuration names, its weights and their checksum."""

import hashlib
from importlib import resources
from pathlib import Path

from lerf_ros.config import EncoderConfig
from lerf_ros.errors import EncoderError

LOCAL_DIR = "local-dir:"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")


def model_folder(config: EncoderConfig) -> Path | None:
    """Return the local model folder, None when open_clip finds the weights itself.

    Raises:
        EncoderError: the folder holds no open_clip model.
    """
    if config.model == "bundled":
        folder = Path(str(resources.files("lerf_ros") / "models" / "tinyclip"))
        remedy = "reinstall lerf_ros, or set encoder.model"
    elif config.model.startswith(LOCAL_DIR):
        folder, remedy = Path(config.model.removeprefix(LOCAL_DIR)).expanduser(), "check encoder.model"
    else:
        return None
    if not (folder / "open_clip_config.json").is_file():
        raise EncoderError(f"{folder} holds no open_clip model: open_clip_config.json is missing ({remedy})")
    return folder


def weights_file(folder: Path) -> Path:
    """Return the weights in a model folder.

    Raises:
        EncoderError: there are none.
    """
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise EncoderError(f"{folder} holds no weights: expected one of {', '.join(WEIGHT_FILES)}")


def sha256(path: Path) -> str:
    """Return the checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
