# SPDX-License-Identifier: Apache-2.0
"""A random open_clip model in a folder: the layout of the bundled encoder, built in a second, knowing nothing."""

import gzip
import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

MERGES = 100
DIM = 32
SIDE = 32


CALIBRATION = {
    "bias": -7.0, "fit": 10.0, "margin": 1.0, "same_meaning": 0.8, "null_phrases": ["a mug"], "measured_on": "a test",
}  # fmt: skip


def write_model(folder: Path, seed: int = 0, poison: bool = False) -> Path:
    """Write config, weights and a vocabulary of the first `MERGES` BPE merges; `poison` puts a NaN into the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    standard = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    with gzip.open(standard, "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[: MERGES + 1]
    with gzip.open(folder / "bpe_simple_vocab_cut.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines))
    model_cfg = {
        "embed_dim": DIM,
        "vision_cfg": {"timm_model_name": "resnet10t", "timm_pool": "avg", "timm_proj": "linear", "image_size": SIDE},
        "text_cfg": {"context_length": 16, "vocab_size": 512 + MERGES + 2, "width": 32, "heads": 2, "layers": 1},
    }
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": {}}))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}")
    state = {k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    for key, value in state.items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        if key.endswith("running_mean"):
            value.normal_(0.0, 0.2)
    if poison:
        state["visual.head.proj.weight"][0, 0] = float("nan")
    save_file(state, str(folder / "open_clip_model.safetensors"))
    (folder / "calibration.json").write_text(json.dumps(CALIBRATION))
    return folder
