# SPDX-License-Identifier: Apache-2.0
"""Generates, trains and evaluates the bundled tiny OpenCLIP encoder from the simulator's own renders."""
