# SPDX-License-Identifier: Apache-2.0
"""Finds the files the package ships beside its code, and sets the Fast DDS profile that images need."""

import os
from pathlib import Path

PROFILE_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"  # Fast DDS 2.14 (Jazzy) ignores FASTDDS_DEFAULT_PROFILES_FILE


def share_file(*parts: str) -> Path:
    """Return the path of a file of `config/` or `launch/`: in the source tree, else in the installed share folder.

    Raises:
        FileNotFoundError: it is in neither.
    """
    tree = Path(__file__).resolve().parents[2]
    if (tree / "package.xml").is_file():
        path = tree.joinpath(*parts)
    else:
        from ament_index_python.packages import get_package_share_directory

        path = Path(get_package_share_directory("lerf_ros")).joinpath(*parts)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: reinstall lerf_ros")
    return path


def use_profile() -> None:
    """Point Fast DDS to config/fastdds.xml unless the user has chosen a profile. Call before `rclpy.init`.

    Without it best-effort images are lost between processes: they do not fit the default shared-memory segment.
    """
    if not os.environ.get(PROFILE_VARIABLE):
        os.environ[PROFILE_VARIABLE] = str(share_file("config", "fastdds.xml"))
