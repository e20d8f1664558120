# SPDX-License-Identifier: Apache-2.0
"""The method, without ROS: torch, numpy and numba only.

Shape letters used in all annotations: B rays, S samples, K keyframes, H image height, W image width, D embedding,
P prompts, C canonical phrases, N points, L levels, F features a level.
"""

import os

# Before torch is loaded: its idle threads sleep instead of spinning on the cores that the kernels' own threads, the
# encoder and queries need (at two threads a step takes two thirds of the CPU time, and no longer).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
