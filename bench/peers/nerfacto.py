# SPDX-License-Identifier: Apache-2.0
"""nerfstudio's nerfacto on a capture: its model, losses, callbacks and method settings, trained on the CPU.

Pixels are drawn here, uniformly over all images, and rays come from nerfstudio's own cameras. Its LPIPS metric would
fetch weights from the network; nothing here reports it, so an empty module stands in for it.
"""

import time
from typing import Any

import numpy as np
import torch
import torchmetrics.image
import torchmetrics.image.lpip


class _NoLpips(torch.nn.Module):
    def __init__(self, **_: Any) -> None:
        super().__init__()


for _module in (torchmetrics.image, torchmetrics.image.lpip):
    _module.LearnedPerceptualImagePatchSimilarity = _NoLpips

from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig  # noqa: E402
from nerfstudio.cameras.cameras import Cameras  # noqa: E402
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3  # noqa: E402
from nerfstudio.data.scene_box import SceneBox  # noqa: E402
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation  # noqa: E402
from nerfstudio.models.nerfacto import NerfactoModelConfig  # noqa: E402

STEADY_STEP = 10_000
"""From 5,000 steps on the proposal networks are trained every fifth step only: the cheapest state there is."""

RATES = {"proposal_networks": (1e-2, 1e-4, 200_000), "fields": (1e-2, 1e-4, 200_000), "camera_opt": (1e-3, 1e-4, 5_000)}
"""First and last Adam rate of each group, and the steps between, of the method `nerfacto`."""

_state: dict[str, Any] = {}


def load(
    file: str, threads: int, rays: int, samples: int, near: float, refine_cameras: bool, seed: int, steady: bool = False
) -> None:
    """Make a model for the capture in `file`.

    Args:
        file: npz with rgb [K,H,W,3] uint8, c2w [K,3,4] (OpenGL camera axes, scene scaled to the cube [-1, 1]), camera
            [fx, fy, cx, cy] with integer pixels at pixel corners, stamp [K].
        threads: CPU threads.
        rays, samples: a step; samples of the last (colour) stage.
        near: nearest sample, scene units.
        refine_cameras: learn camera corrections, as the method does by default.
        seed: of weights and batches.
        steady: take steps as late ones, when proposals are trained every fifth step.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    data = np.load(file)
    _state.clear()
    _state["rgb"], _state["stamp"] = torch.from_numpy(data["rgb"]), data["stamp"]
    _state["cameras"] = _cameras(data["c2w"], data["camera"], data["rgb"].shape)
    config = NerfactoModelConfig(
        num_nerf_samples_per_ray=samples, near_plane=near, implementation="torch",
        camera_optimizer=CameraOptimizerConfig(mode="SO3xR3" if refine_cameras else "off"),
    )  # fmt: skip
    cube = SceneBox(aabb=torch.tensor([[-1.0, -1, -1], [1, 1, 1]]))
    model = config.setup(scene_box=cube, num_train_data=len(data["rgb"]))
    model.train()
    groups = {name: parameters for name, parameters in model.get_param_groups().items() if parameters}
    _state["adams"] = {name: torch.optim.Adam(p, lr=RATES[name][0], eps=1e-15) for name, p in groups.items()}
    _state["callbacks"] = model.get_training_callbacks(TrainingCallbackAttributes(None, None, None, None))
    _state["model"], _state["rays"], _state["step"] = model, rays, STEADY_STEP if steady else 0
    _state["steady"] = steady
    if steady:
        _callbacks(TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        _callbacks(TrainingCallbackLocation.AFTER_TRAIN_ITERATION)


def forget() -> None:
    """Free the model."""
    _state.clear()


def steps(count: int) -> float:
    """Take steps; return their wall time, seconds."""
    begin = time.perf_counter()
    for _ in range(count):
        _step()
    return time.perf_counter() - begin


def train(seconds: float) -> tuple[int, float]:
    """Train until the time is up; return the steps done in all, and the wall time of these."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        _step()
    return _state["step"], time.perf_counter() - begin


def render(file: str, out: str, corrected: bool, stride: int) -> None:
    """Render the views of `file` into `out` (npy, [K, h, w, 3] in [0, 1]), as the model evaluates.

    Of every image, the pixels of rows and columns stride // 2, stride // 2 + stride, ...: a CPU takes minutes for all.

    `corrected`: with camera correction and appearance interpolated in time from the training images around, instead of
    the poses as given and the mean appearance.
    """
    data = np.load(file)
    model, shape = _state["model"], data["rgb"].shape
    model.eval()
    images = []
    for k in range(len(data["stamp"])):
        pose, embedding = data["c2w"][k : k + 1], None
        if corrected:
            pose, embedding = _corrected(pose, float(data["stamp"][k]))
        images.append(_image(model, _cameras(pose, data["camera"], shape), embedding, stride))
    model.train()
    np.save(out, np.stack(images))


def _image(model: Any, camera: Any, embedding: torch.Tensor | None, stride: int) -> np.ndarray:
    """Render one view; `embedding` stands in for the mean over the training images."""
    table, start = model.field.embedding_appearance, stride // 2
    rows, columns = (torch.arange(start, int(side), stride) + 0.5 for side in (camera.height, camera.width))
    coordinates = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
    first = torch.zeros(*coordinates.shape[:2], 1, dtype=torch.long)
    bundle = camera.generate_rays(camera_indices=first, coords=coordinates)
    if embedding is not None:
        table.mean = lambda dim=None: embedding
    try:
        rgb = model.get_outputs_for_camera_ray_bundle(bundle)["rgb"]
    finally:
        if embedding is not None:
            del table.mean
    return np.asarray(rgb.clamp(0, 1).numpy(), np.float32)


def _corrected(pose: np.ndarray, stamp: float) -> tuple[np.ndarray, torch.Tensor]:
    """Return a pose with the correction at its time, and the appearance then."""
    model, stamps = _state["model"], _state["stamp"]
    after = int(np.clip(np.searchsorted(stamps, stamp), 1, len(stamps) - 1))
    share = float(np.clip((stamp - stamps[after - 1]) / max(stamps[after] - stamps[after - 1], 1e-9), 0, 1))
    with torch.no_grad():
        rows = model.field.embedding_appearance.embedding.weight
        embedding = (1 - share) * rows[after - 1] + share * rows[after]
        if not hasattr(model.camera_optimizer, "pose_adjustment"):
            return pose, embedding
        adjust = model.camera_optimizer.pose_adjustment
        change = exp_map_SO3xR3(((1 - share) * adjust[after - 1] + share * adjust[after])[None])[0].numpy()
    out = pose.copy()
    out[0, :, :3] = change[:, :3] @ pose[0, :, :3]
    out[0, :, 3] = pose[0, :, 3] + change[:, 3]
    return out, embedding


def _cameras(c2w: np.ndarray, camera: np.ndarray, shape: tuple[int, ...]) -> Any:
    fx, fy, cx, cy = (float(v) for v in camera)
    poses = torch.from_numpy(np.asarray(c2w, np.float32))
    return Cameras(camera_to_worlds=poses, fx=fx, fy=fy, cx=cx, cy=cy, width=shape[2], height=shape[1])


def _callbacks(where: TrainingCallbackLocation) -> None:
    for callback in _state["callbacks"]:
        callback.run_callback_at_location(_state["step"], where)


def _step() -> None:
    model, rgb, step = _state["model"], _state["rgb"], _state["step"]
    frames, height, width, _ = rgb.shape
    _callbacks(TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
    frame, v, u = (torch.randint(0, side, (_state["rays"],)) for side in (frames, height, width))
    coordinates = torch.stack([v, u], dim=-1).float() + 0.5
    bundle = _state["cameras"].generate_rays(camera_indices=frame[:, None], coords=coordinates)
    batch = {"image": rgb[frame, v, u].float() / 255}
    out = model(bundle)
    losses = model.get_loss_dict(out, batch, model.get_metrics_dict(out, batch))
    for name, adam in _state["adams"].items():
        first, last, many = RATES[name]
        adam.param_groups[0]["lr"] = first * (last / first) ** min(0 if _state["steady"] else step / many, 1)
        adam.zero_grad(set_to_none=True)
    sum(losses.values()).backward()
    for adam in _state["adams"].values():
        adam.step()
    _callbacks(TrainingCallbackLocation.AFTER_TRAIN_ITERATION)
    _state["step"] += 1
