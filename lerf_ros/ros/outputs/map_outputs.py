# SPDX-License-Identifier: Apache-2.0
"""What each new map shows: its coloured cloud, the relevancy of standing prompts, markers, the best grasp."""

import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.standing import answers, evenly, relevancies
from lerf_ros.msg import QueryResult
from lerf_ros.ros.outputs.answers import result_message
from lerf_ros.ros.outputs.clouds import cloud_message
from lerf_ros.ros.outputs.markers import clear, marker_array
from lerf_ros.ros.outputs.topic import Topic
from lerf_ros.ros.outputs.worker import OutputWorker
from lerf_ros.ros.site import Site

TICK_S: Final = 0.1
WORLD: Final = np.eye(4)


class MapOutputs:
    """The part that publishes maps. The executor's thread only looks what is due; the worker works it out.

    A topic is served when somebody listens: with each new snapshot (`outputs.period_s` apart at least), and at once
    for the first who comes. It goes on inactive: the map is still there.
    """

    def __init__(self, site: Site, worker: OutputWorker) -> None:
        self._site, self._worker = site, worker
        self._cloud = Topic(site.node, PointCloud2, "~/cloud")
        self._markers = Topic(site.node, MarkerArray, "~/markers")
        self._target = Topic(site.node, PoseStamped, "~/grasp_target")
        self._prompts: dict[int, tuple[str, Topic]] = {}
        self._seen: weakref.ref[FieldSnapshot] | None = None
        self._number, self._at = 0, -np.inf  # of the snapshot that is shown, and since when
        self._graspless = False
        self._timer = site.node.create_timer(TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def activate(self) -> None:
        """Nothing to begin."""

    def deactivate(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Withdraw all topics."""
        self._site.node.destroy_timer(self._timer)
        for topic in (self._cloud, self._markers, self._target, *(topic for _, topic in self._prompts.values())):
            topic.close()

    def _tick(self) -> None:
        self._follow_prompts(self._site.settings.now.outputs.phrases)
        snapshot = self._site.loop.snapshot()
        if snapshot is None:
            self._forget()
        elif self._shown(snapshot):
            self._serve(snapshot)
        if self._graspless:
            self._graspless = False
            self._target.withdraw()

    def _follow_prompts(self, phrases: Sequence[str]) -> None:
        """Have one topic a prompt; another phrase gets another publisher, for nobody may be given the old one's map."""
        for n, (phrase, topic) in list(self._prompts.items()):
            if n >= len(phrases) or phrases[n] != phrase:
                topic.close()
                del self._prompts[n]
        for n, phrase in enumerate(phrases):
            if n not in self._prompts:
                self._prompts[n] = phrase, Topic(self._site.node, PointCloud2, f"~/relevancy/prompt_{n}")

    def _forget(self) -> None:
        """There is no map (any more): take back what was shown of one."""
        self._seen = None
        header = Header(frame_id=self._site.settings.now.input.world_frame)
        for topic in (self._cloud, *(topic for _, topic in self._prompts.values())):
            topic.withdraw(PointCloud2(header=header))
        self._markers.withdraw(clear(header.frame_id))
        self._target.withdraw()

    def _shown(self, snapshot: FieldSnapshot) -> bool:
        """Return whether this snapshot is the one to show now."""
        if self._seen is not None and self._seen() is snapshot:
            return True
        now = time.monotonic()
        if now - self._at < self._site.settings.now.outputs.period_s:
            return False
        self._seen, self._at = weakref.ref(snapshot), now
        self._number += 1
        return True

    def _serve(self, snapshot: FieldSnapshot) -> None:
        config = self._site.settings.now
        version = self._number, config
        if self._cloud.due(version):
            self._worker.ask("cloud", partial(self._publish_cloud, snapshot))
        for n, (phrase, topic) in self._prompts.items():
            if topic.due(version):
                self._worker.ask(f"relevancy {n}", partial(self._publish_relevancy, snapshot, phrase, topic))
        due = [topic.due(version) for topic in (self._markers, self._target)]
        if True in due:
            self._worker.ask("answers", partial(self._publish_answers, snapshot, config.outputs.phrases))

    def _is_shown(self, snapshot: FieldSnapshot) -> bool:
        """Return whether a snapshot is still the one to show: the map may have been reset while it was worked on."""
        seen = self._seen
        return seen is not None and seen() is snapshot

    def _publish_cloud(self, snapshot: FieldSnapshot) -> None:
        config, surface = self._site.settings.now, snapshot.surface
        usable = np.flatnonzero(surface.answerable(config.surface.min_views))
        rows = evenly(usable, config.outputs.max_cloud_points)
        cloud = cloud_message(_header(snapshot), surface.points[rows], surface.colours[rows])
        if self._is_shown(snapshot):
            self._cloud.publish(cloud)

    def _publish_relevancy(self, snapshot: FieldSnapshot, phrase: str, topic: Topic) -> None:
        config, surface = self._site.settings.now, snapshot.surface
        most = config.outputs.max_cloud_points
        found = relevancies(snapshot, (phrase,), self._site.encoder, config, most).get(phrase)
        if found is None:  # not enough of a map yet: the next one will do
            return
        scales = np.full(len(found.rows), found.scale_m, np.float32)
        points, colours = surface.points[found.rows], surface.colours[found.rows]
        cloud = cloud_message(_header(snapshot), points, colours, found.values, scales)
        if self._is_shown(snapshot):
            topic.publish(cloud)

    def _publish_answers(self, snapshot: FieldSnapshot, phrases: Sequence[str]) -> None:
        config, header = self._site.settings.now, _header(snapshot)
        found = answers(snapshot, phrases, self._site.encoder, config, self._site.now_ns())
        results = [result_message(replace(each, points=None), header, WORLD) for each in found]
        markers = marker_array(snapshot, results, config.workspace, config.grasp)
        target = _best_target(results)
        if not self._is_shown(snapshot):
            return
        if self._markers.heard:
            self._markers.publish(markers)
        self._graspless = target is None
        if target is not None and self._target.heard:
            self._target.publish(target)


def _best_target(results: Sequence[QueryResult]) -> PoseStamped | None:
    """Return the best target of the first result that has one."""
    first = next((result.targets[0] for result in results if result.targets), None)
    return None if first is None else PoseStamped(header=first.header, pose=first.pose)


def _header(snapshot: FieldSnapshot) -> Header:
    header = Header(frame_id=snapshot.frame_id)
    header.stamp.sec, header.stamp.nanosec = divmod(snapshot.stamp_ns, 1_000_000_000)
    return header
