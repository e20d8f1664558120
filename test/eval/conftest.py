# SPDX-License-Identifier: Apache-2.0
"""Makes sure of one order of imports, whichever of these tests runs first."""

import open_clip  # noqa: F401  (with osmesa it must be imported before MuJoCo)
