# SPDX-License-Identifier: Apache-2.0
"""Entry point of `python -m lerf_ros`."""

from lerf_ros.apps.cli import app

if __name__ == "__main__":
    app(prog_name="python -m lerf_ros")
