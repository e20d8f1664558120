# SPDX-License-Identifier: Apache-2.0
"""Where the fields are trained: which hash grid on which device, and the way of arrays to it and back.

Batches, samples and the surface are NumPy; networks and tables live on one torch device. The CUDA path is written and
tested in its wiring, and has not been measured: no GPU has run it yet.
"""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lerf_ros.config import FieldConfig
from lerf_ros.errors import BackendError

_log = logging.getLogger(__name__)

TCNN_ADVICE = (
    "pip install git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch, beside a CUDA build of torch"
)


@dataclass(frozen=True)
class Placement:
    """A hash-grid backend on a torch device.

    Attributes:
        backend: numba, torch or tcnn.
        device: where parameters live.
    """

    backend: str = "numba"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def tensor(self, array: np.ndarray) -> Tensor:
        """Return the array as a tensor on the device: shared memory on a CPU, a pinned copy that does not wait on CUDA.
        """
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Run a query's work on a CUDA stream of its own, beside what trains, and wait for it alone; nothing on a CPU."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


def place(config: FieldConfig) -> Placement:
    """Return what the configuration asks for; `auto` takes CUDA where there is one, tiny-cuda-nn where it is installed.

    Raises:
        BackendError: what is asked for is not there, or contradicts itself. Nothing else is taken in its place.
    """
    device = torch_device(config.device, "field.device", default_cpu=config.backend == "numba")
    backend = config.backend
    if backend == "auto":
        backend = _best(device)
    if backend == "numba" and device.type == "cuda":
        raise BackendError("field.backend = 'numba' runs on a CPU, not on field.device = 'cuda': set one to 'auto'")
    if backend == "tcnn":
        _check_tcnn(config, device)
    return Placement(backend, device)


def torch_device(name: str, key: str, default_cpu: bool = False) -> torch.device:
    """Return the torch device of an option: `auto` is CUDA where there is one (unless `default_cpu`).

    Raises:
        BackendError: it is no device, or there is none of the kind.
    """
    if name == "auto":
        return torch.device("cpu" if default_cpu or not torch.cuda.is_available() else "cuda")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendError(f"{key} = {name!r} is no torch device: use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        why = "this torch is built without CUDA" if torch.version.cuda is None else "torch finds no CUDA GPU"
        raise BackendError(f"{key} = {name!r}, but {why}: set it to 'cpu' or 'auto'")
    if device.type not in ("cpu", "cuda"):
        raise BackendError(f"{key} = {name!r} is not supported: use auto, cpu or cuda")
    return device


def _best(device: torch.device) -> str:
    if device.type == "cpu":
        return "numba"
    if _has_tcnn():
        return "tcnn"
    _log.warning("CUDA is there but tinycudann is not: the hash grids run in plain torch, several times slower. %s",
                 TCNN_ADVICE)
    return "torch"


def _has_tcnn() -> bool:
    return importlib.util.find_spec("tinycudann") is not None


def _check_tcnn(config: FieldConfig, device: torch.device) -> None:
    if not _has_tcnn():
        raise BackendError(f"field.backend = 'tcnn' needs tinycudann ({TCNN_ADVICE}); 'numba' or 'torch' run anywhere")
    if device.type != "cuda":
        raise BackendError("field.backend = 'tcnn' needs a CUDA GPU; 'numba' or 'torch' run anywhere")
    odd = {config.features, config.language_features} - {1, 2, 4, 8}
    if odd:
        raise BackendError(f"tiny-cuda-nn takes 1, 2, 4 or 8 features a level, not {min(odd)}: set field.features and "
                           f"field.language_features, or field.backend = 'numba'")
