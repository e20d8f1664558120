# SPDX-License-Identifier: Apache-2.0
"""What runs in the peer's interpreter: nerfstudio's public classes, timed. Imports nothing of lerf_ros."""
