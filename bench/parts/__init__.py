# SPDX-License-Identifier: Apache-2.0
"""What is measured, a module each; `bench.runs` names them in order."""
