# SPDX-License-Identifier: Apache-2.0
"""What one frame's camera tells by itself, and whether it ever moves."""

from lerf_ros.ros.selfcheck.small import SmallFrame

STILL_FRAMES = 100  # frames from one and the same pose before it is worth a word
STILL_NS = 10_000_000_000
STILL_M = 1e-4
STILL_RAD = 1e-4


class MotionCheck:
    """`pose_not_moving`, `principal_point`."""

    def __init__(self) -> None:
        self._standing: SmallFrame | None = None
        self._still = 0

    def look(self, frame: SmallFrame) -> dict[str, str | None]:
        """Return what this frame tells."""
        return self._centre(frame) | self._motion(frame)

    def _centre(self, frame: SmallFrame) -> dict[str, str | None]:
        i = frame.intrinsics
        if 0.2 * i.width < i.cx < 0.8 * i.width and 0.2 * i.height < i.cy < 0.8 * i.height:
            return {"principal_point": None}
        return {
            "principal_point": f"cx, cy = {i.cx:.1f}, {i.cy:.1f} lie far off the centre of {i.width} x {i.height}: "
            "is this the CameraInfo of this stream, and does it know of cropping (roi) and binning?"
        }

    def _motion(self, frame: SmallFrame) -> dict[str, str | None]:
        standing = self._standing
        if standing is not None:
            moved_m, _, turned_rad = standing.motion_to(frame)
            if moved_m <= STILL_M and turned_rad <= STILL_RAD:
                self._still += 1
                if self._still < STILL_FRAMES or frame.stamp_ns - standing.stamp_ns < STILL_NS:
                    return {}
                return {
                    "pose_not_moving": f"{self._still} frames came from one and the same pose: the map needs views "
                    "from several sides; if the camera did move, its transform is static"
                }
        self._standing, self._still = frame, 0
        return {"pose_not_moving": None}
