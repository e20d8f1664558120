# SPDX-License-Identifier: Apache-2.0
"""Trains the encoder for a fixed number of steps; resumable, seeded, one or more threads."""

import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lerf_ros.tinyclip.batches import Batch, BatchMaker
from lerf_ros.tinyclip.facts import load
from lerf_ros.tinyclip.losses import Heads, PromptSet, Texts, all_tokens, objective, split
from lerf_ros.tinyclip.model import fresh_model, tokenizer, write_skeleton, write_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run besides the crops."""

    steps: int = 5600
    batch: int = 128
    learning_rate: float = 8e-4
    warmup_steps: int = 150
    weight_decay: float = 0.05
    max_scale: float = 50.0
    ema_decay: float = 0.998
    seed: int = 0
    threads: int = 1
    bfloat16: bool = True
    checkpoint_every: int = 400
    log_every: int = 50


def _groups(model: nn.Module, heads: Heads, decay: float) -> list[dict[str, Any]]:
    named = [*model.named_parameters(), *heads.named_parameters()]
    plain = [p for n, p in named if p.ndim <= 1 or "embedding" in n]
    matrices = [p for n, p in named if not (p.ndim <= 1 or "embedding" in n)]
    return [{"params": matrices, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]


class Trainer:
    """One run: model, heads, optimiser, moving average of the weights, and the step they are at."""

    def __init__(self, config: TrainConfig, maker: BatchMaker, run: Path, model_folder: Path) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self._config, self._maker, self._run, self._folder = config, maker, run, model_folder
        self._model: Any = fresh_model().to(memory_format=torch.channels_last).train()
        self._heads = Heads()
        groups = _groups(self._model, self._heads, config.weight_decay)
        self._optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))
        self._average = {k: v.detach().clone() for k, v in self._model.state_dict().items()}
        self.step = 0
        run.mkdir(parents=True, exist_ok=True)
        self._state = run / "state.pt"
        if self._state.exists():
            self._resume()

    def _resume(self) -> None:
        saved = torch.load(self._state, weights_only=True)
        self._model.load_state_dict(saved["model"])
        self._heads.load_state_dict(saved["heads"])
        self._optimiser.load_state_dict(saved["optimiser"])
        self._average, self.step = saved["average"], int(saved["step"])
        log.info("resumed at step %d", self.step)

    def save(self) -> None:
        """Writes the run's state and the averaged weights."""
        state = {
            "model": self._model.state_dict(),
            "heads": self._heads.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self._average,
            "step": self.step,
        }
        temporary = self._state.with_suffix(".part")
        torch.save(state, temporary)
        temporary.replace(self._state)
        write_weights(self._folder, self._average)

    def _rate(self) -> float:
        c = self._config
        cosine = 0.5 * (1 + math.cos(math.pi * self.step / c.steps))
        return c.learning_rate * min(1.0, (self.step + 1) / c.warmup_steps) * (cosine + 0.005)

    def _forward(self, batch: Batch, prompts: PromptSet) -> tuple[Tensor, Texts]:
        images = batch.images.to(memory_format=torch.channels_last)
        tokens = all_tokens(batch, prompts, self._maker)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._config.bfloat16):
            image = self._model.encode_image(images)
            # The fused attention's backward is slow on CPUs for sequences as short as these.
            with sdpa_kernel(SDPBackend.MATH):
                text = self._model.encode_text(tokens)
        return image.float(), split(F.normalize(text.float(), dim=-1), len(batch.captions))

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self._config.ema_decay, (self.step + 1) / (self.step + 10))
        for name, value in self._model.state_dict().items():
            if value.is_floating_point():
                self._average[name].lerp_(value, 1 - decay)
            else:
                self._average[name].copy_(value)

    def advance(self) -> dict[str, float]:
        """One optimiser step; the batch depends on (seed, step) only, so a resumed run sees the same data."""
        rng = np.random.default_rng((self._config.seed, self.step))
        batch = self._maker.draw(rng, self.step / self._config.steps)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        image, texts = self._forward(batch, PromptSet.draw(rng))
        scale = self._model.logit_scale.exp().clamp(max=self._config.max_scale)
        loss: Any
        loss, told = objective(image, texts, scale, self._heads, batch, self.step / self._config.steps)
        self._optimiser.zero_grad(set_to_none=True)
        with sdpa_kernel(SDPBackend.MATH):
            loss.backward()
        nn.utils.clip_grad_norm_([*self._model.parameters(), *self._heads.parameters()], 1.0)
        self._optimiser.step()
        with torch.no_grad():
            self._model.logit_scale.clamp_(max=math.log(self._config.max_scale))
        self.step += 1
        self._follow()
        return told | {"loss": float(loss.detach()), "scale": float(scale.detach())}


def train(config: TrainConfig, crops: Path, run: Path, model_folder: Path) -> None:
    """Runs to `config.steps`, from the last checkpoint below `run` if there is one; fills `model_folder`."""
    write_skeleton(model_folder)
    images, facts = load(crops)
    maker = BatchMaker(images, facts, tokenizer(model_folder), config.batch)
    trainer = Trainer(config, maker, run, model_folder)
    log.info("%d crops, %s", len(images), json.dumps(asdict(config)))
    (run / "config.json").write_text(json.dumps(asdict(config) | {"crops": len(images)}, indent=1) + "\n")
    recent: list[dict[str, float]] = []
    began, first = time.monotonic(), trainer.step
    while trainer.step < config.steps:
        recent.append(trainer.advance())
        if trainer.step % config.log_every == 0:
            means = {k: round(float(np.nanmean([r[k] for r in recent])), 3) for k in recent[0]}
            rate = config.batch * (trainer.step - first) / (time.monotonic() - began)
            log.info("step %d of %d, %.0f samples/s, %s", trainer.step, config.steps, rate, means)
            recent.clear()
        if trainer.step % config.checkpoint_every == 0:
            trainer.save()
    trainer.save()
