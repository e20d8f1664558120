# SPDX-License-Identifier: Apache-2.0
"""Stamps of images against each other and against the node's clock."""

from collections import deque

from builtin_interfaces.msg import Time

SAME_FRAMES = 5
WINDOW = 20
AHEAD_S = 0.05
BEHIND_S = 2.0
"""A frame may have waited in the node itself; not all of them this long."""

WRONG_CLOCK_S = 1e6
"""Older than this is no delay: another clock (a recording's, or since boot)."""


class StampCheck:
    """`stamps_zero`, `stamps_constant`, `clock_skew` of one camera."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._same = 0
        self._ages_s: deque[float] = deque(maxlen=WINDOW)

    def look(self, stamp: Time, now_ns: int) -> dict[str, str | None]:
        """Return what the stamp of one more image tells."""
        stamp_ns = int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
        self._same = self._same + 1 if stamp_ns == self._last else 0
        self._last = stamp_ns
        found: dict[str, str | None] = {"stamps_zero": None, "stamps_constant": None}
        if stamp_ns == 0:
            found["stamps_zero"] = (
                "images are stamped 0, so no pose can be looked up: the driver (or the bridge of a simulator) must "
                "stamp them with the time of exposure"
            )
            return found | {"clock_skew": None}
        if self._same >= SAME_FRAMES - 1:
            found["stamps_constant"] = (
                f"{self._same + 1} images carry the same stamp {stamp_ns / 1e9:.3f}: the driver must stamp each, "
                "or its clock (/clock of a simulator?) stands still"
            )
        elif self._same:
            del found["stamps_constant"]
        return found | self._skew((now_ns - stamp_ns) / 1e9)

    def _skew(self, age_s: float) -> dict[str, str | None]:
        self._ages_s.append(age_s)
        if len(self._ages_s) < WINDOW:
            return {}
        least, most = min(self._ages_s), max(self._ages_s)
        if most < -AHEAD_S:
            return {
                "clock_skew": f"all images are stamped ahead of the node's clock, by {-most:.3f} s and more: "
                "synchronise the clocks of camera and node (chrony, PTP), or set use_sim_time in both"
            }
        if BEHIND_S < least < WRONG_CLOCK_S:
            return {
                "clock_skew": f"all images are {least:.1f} s old or more when they are used: synchronise the clocks of "
                "camera and node (chrony, PTP); play recordings with --clock and use_sim_time; or else the node is "
                "too slow for them (see encoder_behind)"
            }
        return {"clock_skew": None}
