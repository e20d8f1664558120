# SPDX-License-Identifier: Apache-2.0
"""Faster evaluations of an image tower, and pictures to check on that they change nothing."""

import logging

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

log = logging.getLogger(__name__)

SAME = 0.999
"""Least cosine between embeddings of a faster evaluation and the plain one."""


def probe_images(side: int) -> UInt8[np.ndarray, "N H W 3"]:
    """Return four different smooth pictures to compare evaluations on."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [np.stack([np.sin(k * x), np.cos(k * y), np.sin(k * (x - y))], -1) for k in (2, 5, 9, 14)]
    return np.asarray(127.5 + 120 * np.stack(waves)).astype(np.uint8)


def fast_bfloat16(device: torch.device) -> bool:
    """Return whether `device` multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capable = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))


def folded(module: nn.Module, name: str) -> nn.Module | None:
    """Return a copy with batch norms folded into the convolutions before them (a quarter faster).

    None when there is no batch norm or the module cannot be traced. The copy is still to be compared with the original.
    """
    if not any(isinstance(m, nn.BatchNorm2d) for m in module.modules()):
        return None
    from torch.fx.experimental.optimization import fuse

    try:
        return fuse(module).eval().to(memory_format=torch.channels_last)
    except Exception as error:  # whatever symbolic tracing stumbles over, the plain module remains right
        log.info("%s: image tower not traceable (%s), batch norms stay", name, error)
        return None
