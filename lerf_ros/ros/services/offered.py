# SPDX-License-Identifier: Apache-2.0
"""All services of the node, each answered in a worker thread; they answer inactive as well as active."""

import numpy as np
from std_srvs.srv import SetBool, Trigger

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import KeyframeStore
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.phrases import Corner
from lerf_ros.ros.services.forgetting import ForgetRegionService, ResetService
from lerf_ros.ros.services.load_map import LoadMapService
from lerf_ros.ros.services.next_views import NextViewsService
from lerf_ros.ros.services.query import QueryService
from lerf_ros.ros.services.render import RenderService
from lerf_ros.ros.services.save_map import SaveMapService
from lerf_ros.ros.services.training import TrainingService
from lerf_ros.ros.site import Site
from lerf_ros.srv import ForgetRegion, LoadMap, NextViews, Query, Render, SaveMap

SAME_CLOCK_NS = 10_000_000_000
"""Stamps farther from the node's clock than this are of another one."""


class Services:
    """The part that offers them."""

    def __init__(self, site: Site) -> None:
        self._node = site.node
        settings, loop = site.settings, site.loop
        query = QueryService(
            settings, site.encoder, loop.snapshot, site.poses, site.now_ns, loop.answering, site.queries
        )
        mapper = site.mapper
        save = SaveMapService(
            settings, lambda keyframes: loop.command(lambda: (mapper.publish(), mapper.training_state(keyframes)))
        )
        load = LoadMapService(settings, mapper, lambda restored: loop.remake(lambda: mapper.adopt(restored)))
        forget = ForgetRegionService(
            settings, site.poses, lambda low, high: loop.remake(lambda: forgotten(mapper, low, high, until_now(site)))
        )
        reset = ResetService(settings, lambda: loop.remake(mapper.reset))
        render = RenderService(settings, site.encoder, loop.snapshot, site.poses)
        pause = TrainingService(settings, loop.set_training, lambda: loop.suspended)
        store = site.mapper.store
        views = NextViewsService(settings, site.encoder, loop.snapshot, lambda frame: newest_camera(store, frame))
        serve = site.workers.serve
        self._services = [
            serve(self._node, Query, "~/query", query, on="query", refuse=query.refuse, failed=query.failed),
            serve(self._node, Render, "~/render", render),
            serve(self._node, SaveMap, "~/save_map", save),
            serve(self._node, LoadMap, "~/load_map", load),
            serve(self._node, ForgetRegion, "~/forget_region", forget),
            serve(self._node, Trigger, "~/reset", reset),
            serve(self._node, NextViews, "~/next_views", views),
            serve(self._node, SetBool, "~/set_training", pause),
        ]

    def activate(self) -> None:
        """Nothing to begin: services answer in every state that has a map."""

    def deactivate(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Withdraw the services."""
        for service in self._services:
            self._node.destroy_service(service)


def forgotten(mapper: LerfMapper, low: Corner, high: Corner, now_ns: int) -> int | None:
    """Forget a box as it was seen until now; return how many surface points were in it, None if there is no map."""
    if not mapper.has_map:
        return None
    return mapper.forget(np.array(low), np.array(high), now_ns)


def newest_camera(store: KeyframeStore, frame: str) -> Intrinsics | None:
    """Return the intrinsics of the newest keyframe of a camera ("" = any); None if there is none."""
    of_it = (k.image.intrinsics for k in reversed(store.view()) if not frame or k.image.camera == frame)
    return next(of_it, None)


def until_now(site: Site) -> int:
    """Return the stamp that no image taken so far exceeds: the clock's, or the newest image's where stamps are not of
    this clock (a recording played without simulated time).
    """
    now_ns = site.now_ns()
    newest = max((image.stamp_ns for image in site.ingest.newest.values()), default=now_ns)
    return now_ns if abs(newest - now_ns) < SAME_CLOCK_NS else newest
