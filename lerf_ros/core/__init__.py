# SPDX-License-Identifier: Apache-2.0
"""The method, without ROS: torch, numpy and numba only.

Shape letters used in all annotations: B rays, S samples, K keyframes, H image height, W image width, D embedding,
P prompts, C canonical phrases, N points, L levels, F features a level.
"""
