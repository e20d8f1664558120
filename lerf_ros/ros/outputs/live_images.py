# SPDX-License-Identifier: Apache-2.0
"""Which image of which camera is live: by when it came, not by its stamp, as stamps may jump back and clocks differ."""

import time
from collections.abc import Callable, Mapping

from lerf_ros.core.keyframes import PosedImage


class LiveImages:
    """Remembers when the newest image of each camera was first seen. Used by one thread.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[PosedImage, float]] = {}

    def look(self, newest: Mapping[str, PosedImage]) -> None:
        """Take the newest image of each camera; one that is another than before has come now."""
        now = self._clock()
        for camera, image in newest.items():
            known = self._seen.get(camera)
            if known is None or known[0] is not image:
                self._seen[camera] = image, now

    def forget(self, newest: Mapping[str, PosedImage]) -> None:
        """Show none of these any more, nor any that came before."""
        self._seen = {camera: (image, -float("inf")) for camera, image in newest.items()}

    def newest(self, camera: str, timeout_s: float) -> PosedImage | None:
        """Return the image that came last; None: none came within the last `timeout_s` seconds.

        Args:
            camera: its frame; empty: any.
        """
        since = self._clock() - timeout_s
        seen = [entry for name, entry in self._seen.items() if entry[1] >= since and camera in ("", name)]
        return max(seen, key=lambda entry: (entry[1], entry[0].stamp_ns))[0] if seen else None
