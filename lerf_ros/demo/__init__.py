# SPDX-License-Identifier: Apache-2.0
"""The embedded default, end to end: simulated arm and node as processes, this one asks, watches and judges.

Only this process knows the truth of the scene, and only to judge; the node sees topics alone.
"""
