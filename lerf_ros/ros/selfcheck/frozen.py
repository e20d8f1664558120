# SPDX-License-Identifier: Apache-2.0
"""Images or depth that stay the same, pixel by pixel, while the camera moves: a driver that hangs."""

import numpy as np

from lerf_ros.ros.selfcheck.small import SmallFrame

FROZEN_FRAMES = 5
MOVED_M = 0.02
ALONG_M = 0.05
"""Along the line of sight: moving across a plane that faces the camera does not change depth."""

TURNED_RAD = 0.05


class FrozenCheck:
    """`image_frozen`, `depth_frozen`. Never two equal pictures come from a sensor that sees: it has noise."""

    def __init__(self) -> None:
        self._colour = _Unchanged()
        self._depth = _Unchanged()

    def look(self, frame: SmallFrame) -> dict[str, str | None]:
        """Return what this frame tells."""
        found: dict[str, str | None] = {}
        since, count = self._colour.add(frame, frame.rgb)
        moved_m, _, turned_rad = since.motion_to(frame)
        if count == 0:
            found["image_frozen"] = None
        elif count >= FROZEN_FRAMES and (moved_m > MOVED_M or turned_rad > TURNED_RAD):
            found["image_frozen"] = (
                f"{count + 1} images are the same, yet the camera moved {moved_m:.2f} m and turned {turned_rad:.2f} "
                "rad: the camera's driver hangs (restart it), or the transforms are another robot's"
            )
        return found | self._look_at_depth(frame)

    def _look_at_depth(self, frame: SmallFrame) -> dict[str, str | None]:
        if frame.depth_m is None or not (frame.depth_m > 0).any():
            return {}
        since, count = self._depth.add(frame, frame.depth_m)
        _, along_m, turned_rad = since.motion_to(frame)
        if count == 0:
            return {"depth_frozen": None}
        if count < FROZEN_FRAMES or (along_m <= ALONG_M and turned_rad <= TURNED_RAD):
            return {}
        seen = frame.depth_m[frame.depth_m > 0]
        equal = " and every pixel of them" if float(np.ptp(seen)) == 0 else ""
        return {
            "depth_frozen": f"{count + 1} depth images{equal} are the same, yet the camera moved {along_m:.2f} m along "
            f"its line of sight and turned {turned_rad:.2f} rad: restart the depth camera's driver"
        }


class _Unchanged:
    """Counts pictures that equal the first of their run."""

    def __init__(self) -> None:
        self._first: tuple[SmallFrame, np.ndarray] | None = None
        self._count = 0

    def add(self, frame: SmallFrame, pixels: np.ndarray) -> tuple[SmallFrame, int]:
        """Return the first frame of the run that this one belongs to, and how many came after that."""
        if self._first is not None and np.array_equal(self._first[1], pixels):
            self._count += 1
        else:
            self._first, self._count = (frame, pixels), 0
        return self._first[0], self._count
