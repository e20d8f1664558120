# SPDX-License-Identifier: Apache-2.0
"""MuJoCo tabletop with a 6-DoF arm and a wrist RGB-D camera; never imports torch.

Rendering is headless: `MUJOCO_GL` defaults to "osmesa" (Debian package libosmesa6); "egl" works where it is installed.
With osmesa, whoever needs torchvision or open_clip in the same process must import them before this package.
"""

import os

os.environ.setdefault("MUJOCO_GL", "osmesa")
