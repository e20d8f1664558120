# SPDX-License-Identifier: Apache-2.0
"""Maps of simulated scenes: the scripted scan, mapped offline as the demonstration's node maps it."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import open_clip  # noqa: F401  (before mujoco: the other order crashes under osmesa)
import yaml

from lerf_ros.config import Config, from_dict
from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import Keyframe, PosedImage
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.ros.transport import share_file
from lerf_ros.sim.arm_model import JOINTS
from lerf_ros.sim.camera import RenderedFrame, SceneRenderer
from lerf_ros.sim.scan import VIEWPOINTS
from lerf_ros.sim.scene import Scene

STEPS: Final = 900
PERIOD_NS: Final = 1_000_000_000
ARM_AWAY_RAD: Final = 2.9


def node_config(file: str = "sim_arm.yaml", base: Config | None = None) -> Config:
    """Return the configuration that a file of `config/` gives the node; the demonstration's by default.

    Raises:
        ConfigError: the file holds an unknown key or a value out of range.
    """
    tree = yaml.safe_load(share_file("config", file).read_text(encoding="utf-8"))
    return from_dict(tree["/**/lerf"]["ros__parameters"], base)


def turn_arm_away(scene: Scene) -> None:
    """Turn the arm out of the picture: the wrist camera does not see it, but from its home pose it hides the table."""
    scene.data.joint(JOINTS[0]).qpos[0] = ARM_AWAY_RAD
    scene.forward()


def scan(scene: Scene, renderer: SceneRenderer) -> list[RenderedFrame]:
    """Render every viewpoint of the scripted scan, with depth and the identity of each pixel."""
    turn_arm_away(scene)
    return [renderer.render_from(view.pose(), depth=True, segmentation=True) for view in VIEWPOINTS]


def posed_image(frame: RenderedFrame, stamp_ns: int, depth_max_m: float) -> PosedImage:
    """Return a rendered frame as the node would receive it."""
    k = frame.intrinsics
    assert frame.depth_m is not None
    depth = np.where(frame.depth_m < depth_max_m, frame.depth_m, 0).astype(np.float32)
    intrinsics = Intrinsics(k.width, k.height, k.f_px, k.f_px, k.cx_px, k.cy_px)
    return PosedImage(stamp_ns, frame.rgb.copy(), depth, intrinsics, frame.T_world_cam)


def keyframes_of(
    frames: Sequence[RenderedFrame], encoder: ImageTextEncoder, config: Config
) -> tuple[Keyframe, ...]:
    """Return the frames that become keyframes, embedded."""
    mapper = LerfMapper(config, encoder)
    images = (posed_image(f, (k + 1) * PERIOD_NS, config.input.depth_max_m) for k, f in enumerate(frames))
    found = [mapper.prepare(image) for image in images]
    mapper.close()
    return tuple(keyframe for keyframe in found if keyframe is not None)


def map_keyframes(
    keyframes: Sequence[Keyframe], encoder: ImageTextEncoder, config: Config, steps: int
) -> LerfMapper:
    """Return a map of keyframes after so many steps."""
    mapper = LerfMapper(config, encoder)
    for keyframe in keyframes:
        mapper.add(keyframe)
    for _ in range(steps):
        mapper.step()
    return mapper


def map_scene(scene: Scene, encoder: ImageTextEncoder, config: Config, steps: int = STEPS) -> LerfMapper:
    """Return a map of the scene from the scripted scan's viewpoints, trained as the node trains."""
    with SceneRenderer(scene) as renderer:
        frames = scan(scene, renderer)
    return map_keyframes(keyframes_of(frames, encoder, config), encoder, config, steps)
