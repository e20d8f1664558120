# SPDX-License-Identifier: Apache-2.0
"""Red and blue exchanged: suspected where nearly all that is coloured is blue. Wood, skin, food, cardboard are not.

It is a suspicion and says so: under a blue sky or over a blue table it is wrong (`input.ignored_warnings` silences it).
"""

from collections import deque

import numpy as np

from lerf_ros.ros.selfcheck.small import SmallFrame

FRAMES = 8
MOVED_M, MOVED_RAD = 0.03, 0.06
LEAST_DIFFERENCE, LEAST_SHARE = 20, 0.15
"""Between red and blue of a coloured pixel: grey levels, and of its brightest channel."""

BLUE, TIMES = 0.25, 6.0
"""Share of pixels that are bluish, and how many times as many as are reddish."""


class ColourOrderCheck:
    """`colour_order_suspected`. Looks at frames from different places, until it has seen as many as it wants."""

    def __init__(self) -> None:
        self._last: SmallFrame | None = None
        self._shares: deque[tuple[float, float]] = deque(maxlen=FRAMES)

    def look(self, frame: SmallFrame) -> dict[str, str | None]:
        """Return what this frame tells."""
        if self._last is not None:
            moved_m, _, turned_rad = self._last.motion_to(frame)
            if moved_m < MOVED_M and turned_rad < MOVED_RAD:
                return {}
        self._last = frame
        self._shares.append(reddish_and_bluish(frame))
        if len(self._shares) < FRAMES:
            return {}
        red, blue = np.mean(np.array(self._shares), axis=0)
        if blue < BLUE or blue < TIMES * red:
            return {"colour_order_suspected": None}
        return {
            "colour_order_suspected": f"{blue:.0%} of what the camera sees is bluish and {red:.0%} reddish: are red "
            "and blue exchanged? Compare ~/cloud with the scene; if they are, the driver's encoding is wrong (rgb8 for "
            "bgr8). A scene may be blue: then add this name to input.ignored_warnings"
        }


def reddish_and_bluish(frame: SmallFrame) -> tuple[float, float]:
    """Return the shares of pixels with clearly more red than blue, and the other way round."""
    rgb = frame.rgb.astype(np.int32)
    difference = rgb[..., 0] - rgb[..., 2]
    least = np.maximum(LEAST_DIFFERENCE, LEAST_SHARE * rgb.max(axis=-1))
    return float((difference > least).mean()), float((difference < -least).mean())
