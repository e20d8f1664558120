# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from lerf_ros.tinyclip.card import write_card
from lerf_ros.tinyclip.model import WEIGHTS_FILE
from lerf_ros.tinyclip.train import TrainConfig


def test_the_card_states_scores_counts_and_the_hash_of_the_weights(tmp_path: Path) -> None:
    folder, work = tmp_path / "model", tmp_path / "work"
    (work / "run").mkdir(parents=True)
    folder.mkdir()
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    row = {"n": 123, "one_view": 0.5, "four_views": 0.75, "within_2cm": 0.8, "chance": 0.02}
    absent = {"n": 77, "auroc": 0.987, "mean": 0.4}
    told = {
        "localisation": {"colour+category": row},
        "present": {"n": 123, "mean": 0.9, "p10": 0.8},
        "absent": {"wrong_colour": absent, "pooled": absent},
    }
    (work / "scores_test.json").write_text(json.dumps({"seen": told, "held": told}))
    (work / "run" / "config.json").write_text(json.dumps(asdict(TrainConfig(steps=10)) | {"crops": 4567}))
    write_card(folder, work, scenes=3, note="A note.")
    card = (folder / "README.md").read_text()
    assert hashlib.sha256(b"weights").hexdigest() in card
    assert "| colour+category | 123 | 0.50 | 0.75 | 0.80 | 0.02 |" in card
    assert "| wrong colour | 77 | 0.987 | 0.40 |" in card
    assert "| pooled | 77 | 0.987 | 0.40 |" in card
    assert "4,567 crops" in card
    assert "10 steps of 128 crops =\n1,280 samples" in card
    assert "A note." in card
