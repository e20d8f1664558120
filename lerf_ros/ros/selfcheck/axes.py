# SPDX-License-Identifier: Apache-2.0
"""Wrong camera axes, inverted poses and wrong depth units, by what depth itself says between moved frames.

Depth of one frame, carried to another by their poses, must be what is measured there. Where it is not, but would be if
the poses were of other axes, or the inverse, or depth in another unit, that is most probably so.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from lerf_ros.core.geometry import invert, transform_points
from lerf_ros.ros.selfcheck.small import SmallFrame

PAIRS = 6
"""Judged by the medians of this many; after as many good ones in `CHECKS` pairs the camera is trusted."""

CHECKS = 40
APART_M, APART_RAD = 0.08, 0.16
FAR_M, FAR_RAD = 0.50, 0.60
"""Frames farther apart than this see too little of the same."""

TOLERANCE = 0.03
"""Of z-depth. Relative, so that no unit has it easier."""
MIN_POINTS = 40
GOOD, BAD = 0.6, 0.45
"""Shares of points that agree: poses are right above, and wrong below if another candidate is better by ..."""

LEAD = 0.25

BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Body axes (x forward, y left, z up) from optical ones."""


@dataclass(frozen=True)
class _Candidate:
    """What poses and depth would be: `axes` from optical to those that poses are of, an inverse, a unit."""

    name: str
    remedy: str
    axes: Float64[np.ndarray, "3 3"] | None = None
    inverse: bool = False
    unit: float = 1.0

    def applied(self, frame: SmallFrame) -> SmallFrame:
        """Return the frame as it would be."""
        T = invert(frame.T_world_cam) if self.inverse else frame.T_world_cam
        if self.axes is not None:
            T = T.copy()
            T[:3, :3] = T[:3, :3] @ self.axes
        depth_m = frame.depth_m if frame.depth_m is None or self.unit == 1.0 else frame.depth_m * np.float32(self.unit)
        return replace(frame, T_world_cam=T, depth_m=depth_m)


AS_GIVEN = _Candidate("", "")
CANDIDATES = (
    _Candidate("frame_not_optical", "poses are those of a body frame (x forward, z up), not of the optical frame: have "
               "the driver's image header name the ..._optical_frame (REP 103: z forward, x right, y down)", BODY),
    _Candidate("frame_not_optical", "poses have OpenGL's axes (x right, y up, z back): turn them half round about x",
               np.diag([1.0, -1.0, -1.0])),
    _Candidate("pose_inverted", "poses are inverted (world in camera): publish the camera's pose in the world",
               inverse=True),
    *(
        _Candidate("depth_unit", f"depth is {1 / unit:g} times too large: is its unit {unit:g} mm?", unit=unit)
        for unit in (0.1, 0.25)
    ),
    _Candidate("depth_unit", "depth is 10 times too small: is its unit 10 mm?", unit=10.0),
)  # fmt: skip
NAMES = ("frame_not_optical", "pose_inverted", "depth_unit")


class AxesCheck:
    """`frame_not_optical` (by name, until depth tells), `pose_inverted`, `depth_unit`. Looks at the first frames."""

    def __init__(self) -> None:
        self._last: SmallFrame | None = None
        self._shares: deque[list[float]] = deque(maxlen=PAIRS)
        self._checks = 0

    def look(self, frame: SmallFrame) -> dict[str, str | None]:
        """Return what this frame tells."""
        last, self._last = self._last, self._last or frame
        if last is None:
            return _by_name(frame.camera)
        moved_m, _, turned_rad = last.motion_to(frame)
        if (moved_m < APART_M and turned_rad < APART_RAD) or self._checks >= CHECKS:
            return {}
        self._last = frame
        if moved_m > FAR_M or turned_rad > FAR_RAD:
            return {}
        share = agreement(last, frame)
        if share is None:
            return {}
        self._checks += 1
        others = [agreement(c.applied(last), c.applied(frame)) or 0.0 for c in CANDIDATES] if share < GOOD else []
        self._shares.append([share, *(others or [0.0] * len(CANDIDATES))])
        return self._judge() if len(self._shares) == PAIRS else {}

    def _judge(self) -> dict[str, str | None]:
        given, *others = np.median(np.array(self._shares), axis=0)
        if given >= GOOD:
            return dict.fromkeys(NAMES)
        best = int(np.argmax(others))
        if given > BAD or others[best] < given + LEAD or others[best] < GOOD:
            return {}
        self._checks = 0  # go on looking until it is cured
        found = CANDIDATES[best]
        evidence = (
            f"depth of one frame agrees with the next at {given:.0%} of the points, and would at {others[best]:.0%} if "
            f"{found.remedy}"
        )
        return {**{n: None for n in NAMES if n != found.name and n != "frame_not_optical"}, found.name: evidence}


def _by_name(camera: str) -> dict[str, str | None]:
    if camera.endswith(("_optical_frame", "_optical")):
        return {}
    return {
        "frame_not_optical": f"the image's frame {camera!r} is not named as an optical frame (..._optical_frame): if "
        "its x axis points forward, all poses are wrong (REP 103: z forward, x right, y down)"
    }


def agreement(a: SmallFrame, b: SmallFrame) -> float | None:
    """Return the share of the points that `a` measures, where `b` sees them, that `b` measures at that depth, too.

    None: there are too few. A point in front of what `b` measures counts as much against as one behind.
    """
    if a.depth_m is None or b.depth_m is None:
        return None
    v, u = np.nonzero(a.depth_m > 0)
    half = a.step // 2
    local = a.intrinsics.unproject(u * float(a.step) + half, v * float(a.step) + half) * a.depth_m[v, u][:, None]
    pu, pv, z = b.intrinsics.project(transform_points(invert(b.T_world_cam) @ a.T_world_cam, local.astype(float)))
    height, width = b.depth_m.shape
    with np.errstate(invalid="ignore"):
        column, row = np.rint((pu - b.step // 2) / b.step), np.rint((pv - b.step // 2) / b.step)
        inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    if len(v) < MIN_POINTS:
        return None
    if inside.sum() < MIN_POINTS:
        return 0.0  # they have hardly moved, yet are said to see nothing of the same
    measured = b.depth_m[row[inside].astype(int), column[inside].astype(int)]
    near = np.abs(measured - z[inside]) < TOLERANCE * z[inside]
    known = measured > 0
    return float(near[known].mean()) if known.sum() >= MIN_POINTS else None
