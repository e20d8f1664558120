# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: `python -m bench` measures what docs/benchmarks.md describes. No part of what is installed."""
