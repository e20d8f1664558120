# SPDX-License-Identifier: Apache-2.0
"""What no message tells, because none comes: nobody publishes, or simulated time does not run. Looks once a second."""

import time

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from lerf_ros.config import Config
from lerf_ros.ros.site import Site

PERIOD_S = 1.0
PATIENCE_S = 4.0
"""For discovery, and for a clock that is slow to start."""

TRANSPORTS = ("", "/compressed", "/compressedDepth")


class Watch:
    """The part that looks around while the node is active."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._active_since: float | None = None
        self._clock = SimulatedClock()
        self._timer = site.node.create_timer(PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        site.settings.watch(self._take)
        self._take(site.settings.now)

    def activate(self) -> None:
        """Begin to wonder where messages are."""
        self._active_since = time.monotonic()

    def deactivate(self) -> None:
        """Nothing is expected."""
        self._active_since = None

    def close(self) -> None:
        """Stop looking."""
        self._site.node.destroy_timer(self._timer)

    def _take(self, config: Config) -> None:
        self._site.check.ignored = frozenset(config.input.ignored_warnings)

    def _look(self) -> None:
        node, check = self._site.node, self._site.check
        if self._active_since is None or time.monotonic() - self._active_since < PATIENCE_S:
            return
        simulated = bool(node.get_parameter("use_sim_time").value)
        now_ns = node.get_clock().now().nanoseconds
        check.judge(self._clock.look(simulated, now_ns, time.monotonic(), node.count_publishers("/clock")))
        config = self._site.settings.now.input
        streams = ("image", "camera_info", "depth") if config.use_depth else ("image", "camera_info")
        for camera in config.camera_names:
            for stream in streams:
                topic = f"{camera}/{stream}".lstrip("/")
                check.judge(offered(node, topic))


def offered(node: Node, topic: str) -> dict[str, str | None]:
    """Return whether anybody publishes a topic, in whatever transport."""
    name = node.resolve_topic_name(topic)  # count_publishers does not remap
    if any(node.count_publishers(name + transport) for transport in TRANSPORTS):
        return {f"not_published {topic}": None}
    remedy = "; without a depth camera set input.use_depth to false" if topic.endswith("depth") else ""
    return {
        f"not_published {topic}": f"nobody publishes {name}: start the driver, or remap {topic} to its topic "
        f"(same ROS_DOMAIN_ID?){remedy}"
    }


class SimulatedClock:
    """`clock_not_running`: simulated time is asked for, and there is none, or it stands still."""

    def __init__(self) -> None:
        self._last_ns = -1
        self._since_s = 0.0

    def look(self, simulated: bool, now_ns: int, steady_s: float, publishers: int) -> dict[str, str | None]:
        """Return what the node's clock tells.

        Args:
            simulated: the parameter use_sim_time.
            now_ns: the node's time, nanoseconds.
            steady_s: a clock that always runs, seconds.
            publishers: of /clock.
        """
        if now_ns != self._last_ns:
            self._last_ns, self._since_s = now_ns, steady_s
        if not simulated or (now_ns > 0 and steady_s - self._since_s < PATIENCE_S):
            return {"clock_not_running": None}
        if not publishers:
            why = "nobody publishes /clock: play the recording with --clock, start the simulator, or set it to false"
        elif now_ns == 0:
            why = "nothing comes on /clock: is the simulator or the recording paused?"
        else:
            why = f"/clock stands still at {now_ns / 1e9:.3f}: is the simulator or the recording paused?"
        return {"clock_not_running": f"use_sim_time is true, but {why}"}
