# SPDX-License-Identifier: Apache-2.0
"""What a camera gets a little wrong, learned beside the radiance field: exposure, pose, intrinsics.

Only the rendering of colour uses these. Poses and intrinsics that the map, the surface and answers are made with are
the measured ones, never corrected silently.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional


class Exposure(nn.Module):
    """Log gain and offset a colour channel of each keyframe: cameras change exposure while they look around."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(capacity, 6))

    def forward(self, rgb: Float[Tensor, "B 3"], row: Float[Tensor, "B 6"]) -> Float[Tensor, "B 3"]:
        """Return colours as exposed with the given rows of the table."""
        return rgb * torch.exp(row[:, :3]) + row[:, 3:]


class CameraRefinement(nn.Module):
    """Small rotation (rad) and shift (m) of each keyframe's camera, and one correction of focal length and centre.

    As nerfacto's SO3xR3 camera optimiser, in the camera frame, so that what all frames share (colour not quite
    registered to depth, a hand-eye error) shows as a common offset.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(capacity, 6))
        self.intrinsics = nn.Parameter(torch.zeros(4))

    def forward(
        self,
        local: Float[Tensor, "B 3"],
        rotation: Float[Tensor, "B 3 3"],
        origins: Float[Tensor, "B 3"],
        row: Float[Tensor, "B 6"],
    ) -> tuple[Float[Tensor, "B 3"], Float[Tensor, "B 3"]]:
        """Return corrected origins and unit directions in the world.

        Args:
            local: camera-frame directions with z = 1.
            rotation: camera to world.
            origins: camera centres.
            row: rows of the table, one a ray.
        """
        xy = local[:, :2] * torch.exp(self.intrinsics[:2]) + self.intrinsics[2:]
        local = torch.cat([xy, local[:, 2:]], dim=-1)
        # First order in the angle: corrections are a degree or less.
        local = functional.normalize(local + torch.cross(row[:, :3], local, dim=-1), dim=-1)
        turned = torch.einsum("bij,bj->bi", rotation, local)
        return origins + torch.einsum("bij,bj->bi", rotation, row[:, 3:]), turned


def interpolate_rows(stamps_ns: Sequence[int], rows: Float[Tensor, "K 6"], stamp_ns: int) -> Float[Tensor, " 6"]:
    """Return a table's row for a stamp from the keyframes around it in time: the best guess for an unseen frame."""
    order = np.argsort(np.asarray(stamps_ns))
    times = np.asarray(stamps_ns, np.float64)[order]
    table = rows.detach().cpu().numpy()[order]
    return torch.tensor([np.interp(stamp_ns, times, table[:, c]) for c in range(6)], dtype=torch.float32)


def gather(table: nn.Parameter, slots: Int64[np.ndarray, " B"]) -> Float[Tensor, "B 6"]:
    """Return the rows of the keyframes in `slots`."""
    return table[torch.from_numpy(slots).to(table.device)]
