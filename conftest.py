# SPDX-License-Identifier: Apache-2.0
"""Refuses to test code against interfaces generated from other .msg and .srv files."""

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
