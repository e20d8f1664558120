# SPDX-License-Identifier: Apache-2.0
"""One small table, really mapped: the same seed gives the same file, byte for byte."""

import dataclasses
from pathlib import Path

import open_clip  # noqa: F401  (before mujoco)
import pytest
import torch
from tiny_clip_model import write_model

from lerf_ros.config import EncoderConfig, from_flat
from lerf_ros.core.encoders import load_encoder
from lerf_ros.eval import mapping
from lerf_ros.eval.configurations import Configuration, configuration
from lerf_ros.eval.exam import SceneExam
from lerf_ros.eval.pictures import copy_worst, write_failures
from lerf_ros.eval.report import summary
from lerf_ros.eval.scenes import scene_spec

SMALL = {
    "surface.voxel_m": 0.01, "pyramid.levels": 2, "pyramid.min_tile": 0.25, "train.language_rays": 128,
    "field.language_log2_table": 12, "train.rays": 64, "train.depth_rays": 64, "query.scales": 2,
}  # fmt: skip


def small(name: str) -> Configuration:
    found = configuration(name, steps=12)
    return dataclasses.replace(found, config=from_flat(SMALL, found.config))


@pytest.mark.slow
def test_an_evaluation_repeats_bit_for_bit_whatever_configurations_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "VIEWPOINTS", mapping.VIEWPOINTS[:8:1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    names = ("default", "single_view", "multi_view", "paper")
    texts: list[list[str]] = []
    try:
        for k in range(2):
            encoder = load_encoder(EncoderConfig(model=f"local-dir:{write_model(tmp_path / str(k))}"))
            exam = SceneExam(0, scene_spec(0, 0), encoder, "code")
            texts.append([])
            for name in names:
                if k == 1:  # what configurations have in common, made again for each, is the same
                    exam = SceneExam(0, scene_spec(0, 0), encoder, "code")
                record, found, snapshot = exam.run(small(name))
                texts[-1].append(record.to_json())
                write_failures(tmp_path / "work" / "pictures", exam, record, found, snapshot)
                told = summary(small(name), [record], 0)
                assert told["localisation_3d"]["all"]["n"] == sum(bool(q.objects) for q in exam.asked)
                worst = copy_worst(tmp_path / "work", tmp_path / "report", [record], told["rule"])
                assert bool(worst) == (name in ("default", "paper"))  # an encoder that knows nothing errs
    finally:
        torch.set_num_threads(threads)
    assert texts[0] == texts[1]
    assert '"default"' in texts[0][0]
    assert len(list((tmp_path / "report").glob("*.jpg"))) > 2
