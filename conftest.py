# SPDX-License-Identifier: Apache-2.0
"""Refuses to test code against interfaces generated from other .msg and .srv files; skips what needs an absent GPU."""

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent


def pytest_configure() -> None:
    digest = hashlib.sha256()
    for path in sorted((*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    made = ROOT / "lerf_ros" / "msg" / "built_from.sha256"
    if not made.is_file() or made.read_text().strip() != digest.hexdigest():
        raise pytest.UsageError("the generated interfaces are missing or older than msg/ and srv/: run `make install`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="torch finds no CUDA GPU"))
