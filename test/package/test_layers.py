# SPDX-License-Identifier: Apache-2.0
"""The shape of the code: who may import whom, how long things may get, and one version everywhere."""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lerf_ros"
GENERATED = {PACKAGE / "msg", PACKAGE / "srv"}
FILES = sorted(p for p in PACKAGE.rglob("*.py") if not GENERATED & set(p.parents))
RUNTIME_MODULES = [
    f"lerf_ros.{folder}.{path.stem}"
    for folder in ("core", "runtime", "data")
    for path in sorted((PACKAGE / folder).glob("*.py"))
    if path.stem != "__init__"
]
MAX_LINES = 300
MAX_FUNCTION = 40
ROS = {
    "rclpy",
    "std_msgs",
    "geometry_msgs",
    "sensor_msgs",
    "std_srvs",
    "diagnostic_msgs",
    "tf2_msgs",
    "visualization_msgs",
    "tf2_ros",
    "lerf_ros.msg",
    "lerf_ros.srv",
}
BASE = {"config", "options", "errors"}
MAY_IMPORT = {
    "errors": set(),
    "options": {"errors"},
    "config": {"config", "options", "errors"},
    "core": BASE | {"core"},
    "runtime": BASE | {"core", "runtime"},
    "data": BASE | {"core", "data"},
    "eval": BASE | {"core", "data", "sim", "ros", "eval"},  # of ros, only where the shipped files lie
    "ros": BASE | {"core", "runtime", "ros", "msg", "srv"},
    "sim": BASE | {"core", "ros", "sim", "msg", "srv"},
    "demo": BASE | {"core", "ros", "sim", "demo", "msg", "srv"},
}
MAY_TALK_ROS = {"ros", "sim", "demo"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = MAY_IMPORT.get(room)
    if allowed is None:
        return
    for module in imports(path):
        if module.startswith("lerf_ros"):
            assert module.split(".")[1] in allowed, f"{name(path)} imports {module}"
        elif room not in MAY_TALK_ROS:
            assert module.split(".")[0] not in ROS, f"{name(path)} imports {module}"


def test_core_and_runtime_import_without_ros() -> None:
    code = f"""
import importlib, sys
for blocked in {sorted(m for m in ROS if "." not in m)}:
    sys.modules[blocked] = None
for module in {RUNTIME_MODULES}:
    importlib.import_module(module)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=name)
def test_modules_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - _first_code_line(node) + 1
            assert length <= MAX_FUNCTION, f"{name(path)}: {node.name} has {length} lines"


def _first_code_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the line after the signature and docstring: those may take what they need."""
    documented = ast.get_docstring(node) is not None and len(node.body) > 1
    return node.body[1 if documented else 0].lineno


@pytest.mark.parametrize("path", [p for p in FILES if p.stat().st_size], ids=name)
def test_files_name_their_licence(path: Path) -> None:
    assert path.read_text().startswith("# SPDX-License-Identifier: Apache-2.0\n")


def test_one_version_everywhere() -> None:
    version = ET.parse(ROOT / "package.xml").getroot().findtext("version")
    told = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    changelog = re.search(r"^(\d+\.\d+\.\d+) \(", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)
    assert changelog is not None
    assert version == told == changelog.group(1)


def test_every_interface_field_is_commented() -> None:
    for path in (*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")):
        for line in path.read_text().splitlines():
            if line.strip() and line.strip() != "---" and not line.lstrip().startswith("#"):
                assert "#" in line, f"{path.name}: {line}"


def test_every_interface_file_is_built() -> None:
    text = (ROOT / "CMakeLists.txt").read_text()
    for path in (*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")):
        assert f'"{path.parent.name}/{path.name}"' in text
