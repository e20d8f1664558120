# SPDX-License-Identifier: Apache-2.0
"""RGB, metric depth and geom ids from a camera of the scene, with pinhole intrinsics and ROS optical poses."""

import math
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import mujoco
import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from lerf_ros.sim.scene import IMAGE_HEIGHT_PX, IMAGE_WIDTH_PX, Scene

#: MuJoCo cameras look along -z with y up; ROS optical frames look along +z with y down.
_OPTICAL_FROM_GL: Final = np.diag([1.0, -1.0, -1.0])
FREE_CAMERA: Final = "free"


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole camera without distortion; integer pixel coordinates are pixel centres."""

    width: int
    height: int
    f_px: float

    @property
    def cx_px(self) -> float:
        """Principal point, x."""
        return (self.width - 1) / 2

    @property
    def cy_px(self) -> float:
        """Principal point, y."""
        return (self.height - 1) / 2

    @classmethod
    def from_fovy(cls, fovy_deg: float, width: int = IMAGE_WIDTH_PX, height: int = IMAGE_HEIGHT_PX) -> "Intrinsics":
        """Square pixels; `fovy_deg` spans the whole image height, edge to edge."""
        return cls(width, height, height / 2 / math.tan(math.radians(fovy_deg) / 2))


@dataclass(frozen=True)
class RenderedFrame:
    """What one camera saw; `depth_m` is distance along the optical axis, `geom_id` is -1 where there is nothing."""

    rgb: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"] | None
    geom_id: Int32[np.ndarray, "H W"] | None
    T_world_cam: Float64[np.ndarray, "4 4"]
    intrinsics: Intrinsics


def camera_pose(scene: Scene, camera: str) -> Float64[np.ndarray, "4 4"]:
    """`T_world_cam` (ROS optical) of a camera, as of the last `mj_forward`."""
    view = scene.data.camera(camera)
    pose = np.eye(4)
    pose[:3, :3] = np.array(view.xmat).reshape(3, 3) @ _OPTICAL_FROM_GL
    pose[:3, 3] = view.xpos
    return pose


class SceneRenderer:
    """Owns the offscreen context of one scene. Use it as a context manager, in the thread that created it."""

    def __init__(self, scene: Scene, width: int = IMAGE_WIDTH_PX, height: int = IMAGE_HEIGHT_PX) -> None:
        self._scene = scene
        self._renderer = mujoco.Renderer(scene.model, height, width)
        self._size = (width, height)

    def render(self, camera: str, *, depth: bool = False, segmentation: bool = False) -> RenderedFrame:
        """Renders a camera of the model at its current pose and field of view."""
        renderer, data = self._renderer, self._scene.data
        renderer.disable_depth_rendering()
        renderer.disable_segmentation_rendering()
        renderer.update_scene(data, camera)
        rgb = renderer.render()
        metres: Float32[np.ndarray, "H W"] | None = None
        ids: Int32[np.ndarray, "H W"] | None = None
        if depth:
            renderer.enable_depth_rendering()
            metres = renderer.render()
        if segmentation:
            renderer.enable_segmentation_rendering()
            seen = renderer.render()
            ids = np.where(seen[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM), seen[..., 0], -1).astype(np.int32)
        fovy = float(self._scene.model.camera(camera).fovy[0])
        return RenderedFrame(
            rgb, metres, ids, camera_pose(self._scene, camera), Intrinsics.from_fovy(fovy, *self._size)
        )

    def render_from(
        self,
        T_world_cam: Float64[np.ndarray, "4 4"],
        *,
        fovy_deg: float | None = None,
        depth: bool = False,
        segmentation: bool = False,
    ) -> RenderedFrame:
        """Renders from any optical pose, with the scene's "free" camera."""
        model, data = self._scene.model, self._scene.data
        index = model.camera(FREE_CAMERA).id
        if fovy_deg is not None:
            model.cam_fovy[index] = fovy_deg
        data.cam_xpos[index] = T_world_cam[:3, 3]
        data.cam_xmat[index] = (T_world_cam[:3, :3] @ _OPTICAL_FROM_GL).ravel()
        return self.render(FREE_CAMERA, depth=depth, segmentation=segmentation)

    def close(self) -> None:
        """Frees the context; the renderer cannot be used afterwards."""
        self._renderer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
