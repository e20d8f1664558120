# SPDX-License-Identifier: Apache-2.0
"""The pip build: makes the ROS interfaces with CMake (the same CMakeLists.txt colcon uses), packs them with the code.

The generated `lerf_ros.msg` and `lerf_ros.srv` go beside the Python code, the type-support libraries into the
environment's own lib/, where the ROS wheels look for them. In editable mode (`make install`) the generated Python lands
in the source tree, so there is one copy of the code only.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent.resolve()
# a folder for each tree and environment: CMake's cache remembers both
BUILD = ROOT / "build" / f"pip-{hashlib.sha256(f'{sys.prefix} {ROOT}'.encode()).hexdigest()[:8]}"
STAGE = BUILD / "stage"
FOLDERS = ("cmake", "msg", "srv", "scripts", "launch", "config")  # what CMake reads


def requirements() -> list[str]:
    """Return what is needed at run time; a sourced ROS brings its own rclpy."""
    text = (ROOT / "requirements.txt").read_text()
    if "ROS_DISTRO" not in os.environ:
        text += (ROOT / "requirements-ros.txt").read_text().split("# Needed to build")[0]
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def version() -> str:
    text = (ROOT / "package.xml").read_text()
    return text.split("<version>")[1].split("</version>")[0]


def interface_hash() -> str:
    """Return a hash of all interface files; the tests compare it with the one the generated code was made from."""
    digest = hashlib.sha256()
    for path in sorted((*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def build_interfaces(source: Path, name: str) -> None:
    """Configure, compile and install one interface package into the stage.

    From a copy: CMake refuses to export targets that name a folder inside the source tree, as numpy's is when the
    virtual environment lies there.
    """
    copy, binary = BUILD / "source" / source.relative_to(ROOT), BUILD / name
    copy.mkdir(parents=True, exist_ok=True)
    for part in ("CMakeLists.txt", "package.xml", *(f for f in FOLDERS if (source / f).is_dir())):
        if (source / part).is_dir():
            shutil.rmtree(copy / part, ignore_errors=True)
            shutil.copytree(source / part, copy / part)
        else:
            shutil.copy2(source / part, copy / part)
    (copy / "lerf_ros").mkdir(exist_ok=True)  # Python code is packed by setuptools
    options = {
        "CMAKE_INSTALL_PREFIX": STAGE,
        "CMAKE_BUILD_TYPE": "Release",
        "BUILD_TESTING": "OFF",
        "Python3_EXECUTABLE": sys.executable,
    }
    configure = ["cmake", "-S", str(copy), "-B", str(binary), "-G", "Ninja"]
    configure += [f"-D{key}={value}" for key, value in options.items()]
    for command in (configure, ["cmake", "--build", str(binary), "--target", "install"]):
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(
                f"{' '.join(command[:3])} failed: see its output above. The build needs the packages of "
                "requirements-ros.txt in this environment, cmake >= 3.21, ninja, g++ and the Python headers."
            )


class BuildInterfaces(build_py):
    def run(self) -> None:
        in_tree = bool(self.editable_mode)
        if not in_tree:
            shutil.rmtree(Path(self.build_lib) / "lerf_ros", ignore_errors=True)
        super().run()
        shutil.rmtree(STAGE, ignore_errors=True)
        build_interfaces(ROOT, "lerf_ros")
        sourced = "ROS_DISTRO" in os.environ  # a real ROS brings its own tf2_msgs
        if not sourced:
            build_interfaces(ROOT / "compat" / "tf2_msgs", "tf2_msgs")
        self.collect(ROOT if in_tree else Path(self.build_lib), in_tree, sourced)

    def collect(self, dest: Path, in_tree: bool, sourced: bool) -> None:
        """Put generated Python beside the code, and everything else into the environment's lib/ and share/."""
        site = next(STAGE.glob("lib/python3*/site-packages"))
        for kind in ("msg", "srv"):
            shutil.rmtree(dest / "lerf_ros" / kind, ignore_errors=True)
            shutil.copytree(site / "lerf_ros" / kind, dest / "lerf_ros" / kind)
        for library in (site / "lerf_ros").glob("*.so"):
            shutil.copy2(library, dest / "lerf_ros")
        files = [(f, f.parent.relative_to(STAGE)) for top in ("lib", "share") for f in (STAGE / top).rglob("*")]
        files = [(f, folder) for f, folder in files if "site-packages" not in folder.parts]
        if not sourced and in_tree:
            platlib = Path(sysconfig.get_path("platlib")).relative_to(sys.prefix)
            files += [(f, platlib / f.parent.relative_to(site)) for f in (site / "tf2_msgs").rglob("*")]
        elif not sourced:
            shutil.copytree(site / "tf2_msgs", dest / "tf2_msgs", dirs_exist_ok=True)
        data: dict[str, list[str]] = {}
        for file, folder in files:
            if file.is_file():
                data.setdefault(str(folder), []).append(str(file.relative_to(ROOT)))
        self.distribution.data_files = sorted(data.items())
        if in_tree:
            (dest / "lerf_ros" / "msg" / "built_from.sha256").write_text(interface_hash() + "\n")


class Binary(Distribution):
    def has_ext_modules(self) -> bool:
        return True  # the wheel holds compiled libraries: not "any platform"

    def has_data(self) -> bool:
        return bool(self.data_files)  # asked by setuptools' editable_wheel: install data_files there, too


setup(
    name="lerf_ros",
    version=version(),
    description="Language embedded radiance fields for robot arms, over ROS 2",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["lerf_ros", "lerf_ros.*"], exclude=["lerf_ros.msg*", "lerf_ros.srv*"]),
    package_data={"lerf_ros": ["py.typed", "models/*/*"]},
    install_requires=requirements(),
    distclass=Binary,
    cmdclass={"build_py": BuildInterfaces},
    entry_points={"console_scripts": ["lerf_node = lerf_ros.ros.node:main"]},
)
