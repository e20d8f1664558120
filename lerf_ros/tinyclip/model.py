# SPDX-License-Identifier: Apache-2.0
"""The encoder's architecture, its cut vocabulary, and its folder in open_clip's `local-dir:` layout."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any, Final

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer, default_bpe
from safetensors.torch import save_file

from lerf_ros.tinyclip.vocabulary import IMAGE_PX

log = logging.getLogger(__name__)

EMBED_DIM: Final = 128
CONTEXT: Final = 16
MERGES: Final = 4000
#: 256 bytes, the same at a word's end, the merges, start and end of text.
VOCABULARY: Final = 2 * 256 + MERGES + 2
BPE_FILE: Final = "bpe_simple_vocab_4000.txt.gz"
WEIGHTS_FILE: Final = "open_clip_model.safetensors"
CONFIG_FILE: Final = "open_clip_config.json"
MEAN: Final = tuple(float(v) for v in open_clip.OPENAI_DATASET_MEAN)
STD: Final = tuple(float(v) for v in open_clip.OPENAI_DATASET_STD)


def model_config() -> dict[str, Any]:
    """open_clip model configuration; the tokenizer's file is relative to the model folder."""
    return {
        "embed_dim": EMBED_DIM,
        "vision_cfg": {
            "image_size": IMAGE_PX,
            "timm_model_name": "resnet10t",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
        },
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": VOCABULARY,
            "width": 64,
            "heads": 2,
            "layers": 3,
            "tokenizer_kwargs": {"bpe_path": BPE_FILE},
        },
    }


def write_skeleton(folder: Path) -> None:
    """Writes configuration and cut vocabulary: all but the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(default_bpe()) as source:
        lines = source.read().decode("utf-8").split("\n")[: MERGES + 1]
    # mtime=0 keeps the file the same from run to run
    (folder / BPE_FILE).write_bytes(gzip.compress("\n".join(lines).encode("utf-8"), mtime=0))
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "squash"}
    config = {"model_cfg": model_config(), "preprocess_cfg": preprocess}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n")


def write_weights(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """Writes fp16 safetensors under a temporary name, then renames."""
    halves = {k: v.detach().half().contiguous() if v.is_floating_point() else v.clone() for k, v in state.items()}
    temporary = folder / f".{WEIGHTS_FILE}.part"
    save_file(halves, temporary)
    temporary.chmod(0o644)
    temporary.replace(folder / WEIGHTS_FILE)


def tokenizer(folder: Path) -> SimpleTokenizer:
    """The folder's tokenizer; open_clip takes the file name relative to the caller, so it is joined here."""
    return open_clip.get_tokenizer(f"local-dir:{folder}", bpe_path=str(folder / BPE_FILE))


def fresh_model() -> torch.nn.Module:
    """An untrained model of this architecture."""
    config = model_config()
    config["text_cfg"].pop("tokenizer_kwargs")
    model: torch.nn.Module = open_clip.CLIP(**config, output_dict=False)
    return model


def load_model(folder: Path) -> torch.nn.Module:
    """The folder's model in evaluation mode, through open_clip's own loader."""
    model: torch.nn.Module = open_clip.create_model(f"local-dir:{folder}").eval()
    return model
