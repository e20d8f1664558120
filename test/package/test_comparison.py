# SPDX-License-Identifier: Apache-2.0
"""Every claim of docs/comparison.md about this package names what shows it, and that exists."""

import re
from pathlib import Path

from bench.runs import PARTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "comparison.md"
LINK = re.compile(r"\[[^]]*\]\(([^)]+)\)(?: `(test_\w+)`)?")
COMMAND = re.compile(r"`((?:make|python -m) [^`]+)`")
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def rows() -> list[list[str]]:
    """Return the cells of each row of the feature table."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in table if len(cells) == 11 and cells[0] != "Feature"]


def test_every_feature_is_claimed_with_what_shows_it() -> None:
    assert len(rows()) == 39
    for feature, ours, shown, *_ in rows():
        assert ours.strip("*")[0] in "✓✗", feature
        assert bool(shown) == (not ours.startswith("✗")), feature
        assert not shown or LINK.search(shown) or COMMAND.search(shown), feature


def test_every_link_and_test_exists() -> None:
    found = LINK.findall(PAGE.read_text())
    assert len(found) > 30
    for target, name in found:
        if target.startswith("http"):
            continue
        path = (PAGE.parent / target).resolve()
        assert path.is_file(), target
        if "/test/" in target:
            assert name, f"{target}: which test?"
            assert f"def {name}(" in path.read_text(), f"{target} has no {name}"


def test_every_command_exists() -> None:
    for command in COMMAND.findall(PAGE.read_text()):
        if command.startswith("make "):
            assert set(command.split()[1:]) <= TARGETS, command
        else:
            _, _, module, option, part = command.split()
            assert (module, option) == ("bench", "--only"), command
            assert part in PARTS, command
