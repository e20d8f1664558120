# SPDX-License-Identifier: Apache-2.0
"""Which backend on which device; refusals name the remedy. What needs a GPU is marked so."""

import importlib.machinery
import importlib.util
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lerf_ros.config import from_flat
from lerf_ros.core.device import Placement, own_stream, place, torch_device
from lerf_ros.errors import BackendError

Pretend = Callable[..., None]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Return a function that makes this machine look as if it had CUDA, tinycudann, or neither."""

    def change(*, cuda: bool, tcnn: bool) -> None:
        real = importlib.util.find_spec

        def find_spec(name: str, package: str | None = None) -> importlib.machinery.ModuleSpec | None:
            if name != "tinycudann":
                return real(name, package)
            return importlib.machinery.ModuleSpec("tinycudann", None) if tcnn else None

        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    return change


@pytest.mark.parametrize(
    ("backend", "device", "cuda", "tcnn", "expected"),
    [
        ("auto", "auto", False, False, ("numba", "cpu")),
        ("auto", "auto", False, True, ("numba", "cpu")),
        ("auto", "auto", True, True, ("tcnn", "cuda")),
        ("auto", "auto", True, False, ("torch", "cuda")),
        ("auto", "cpu", True, True, ("numba", "cpu")),
        ("numba", "auto", True, True, ("numba", "cpu")),
        ("torch", "auto", True, True, ("torch", "cuda")),
        ("torch", "cpu", True, True, ("torch", "cpu")),
        ("tcnn", "auto", True, True, ("tcnn", "cuda")),
    ],
)
def test_what_is_there_is_used(
    pretend: Pretend, backend: str, device: str, cuda: bool, tcnn: bool, expected: tuple[str, str]
) -> None:
    pretend(cuda=cuda, tcnn=tcnn)
    found = place(from_flat({"field.backend": backend, "field.device": device}).field)
    assert (found.backend, found.device.type) == expected


@pytest.mark.parametrize(
    ("options", "cuda", "tcnn", "words"),
    [
        ({"field.backend": "tcnn"}, False, False, "needs tinycudann"),
        ({"field.backend": "tcnn"}, True, False, "pip install"),
        ({"field.backend": "tcnn"}, False, True, "needs a CUDA GPU"),
        ({"field.backend": "tcnn", "field.device": "cpu"}, True, True, "needs a CUDA GPU"),
        ({"field.backend": "tcnn", "field.features": 6}, True, True, "1, 2, 4 or 8 features"),
        ({"field.device": "cuda"}, False, False, "field.device = 'cuda'"),
        ({"field.backend": "numba", "field.device": "cuda"}, True, True, "set one to 'auto'"),
    ],
)
def test_what_is_asked_for_and_absent_is_refused(
    pretend: Pretend, options: dict[str, object], cuda: bool, tcnn: bool, words: str
) -> None:
    pretend(cuda=cuda, tcnn=tcnn)
    with pytest.raises(BackendError, match=words):
        place(from_flat(options).field)


def test_plain_torch_on_a_gpu_is_said_aloud(pretend: Pretend, caplog: pytest.LogCaptureFixture) -> None:
    pretend(cuda=True, tcnn=False)
    place(from_flat({}).field)
    assert "tinycudann is not" in caplog.text


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta"])
def test_no_device_is_guessed(name: str) -> None:
    with pytest.raises(BackendError, match=r"encoder\.device"):
        torch_device(name, "encoder.device")


def test_a_cpu_shares_the_memory_of_arrays() -> None:
    array = np.zeros(3, np.float32)
    Placement().tensor(array)[1] = 5.0
    assert array[1] == 5.0


@pytest.mark.gpu
def test_arrays_reach_the_gpu_and_a_reader_has_its_own_stream() -> None:
    there = Placement("torch", torch.device("cuda"))
    array = np.arange(4, dtype=np.float32)
    with own_stream(there.device):
        assert torch.cuda.current_stream() != torch.cuda.default_stream()
        doubled = there.tensor(array) * 2
    assert doubled.cpu().tolist() == [0, 2, 4, 6]
