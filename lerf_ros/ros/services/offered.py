# SPDX-License-Identifier: Apache-2.0
"""All services of the node, each answered in a worker thread; they answer inactive as well as active."""

from std_srvs.srv import SetBool

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import KeyframeStore
from lerf_ros.ros.services.next_views import NextViewsService
from lerf_ros.ros.services.query import QueryService
from lerf_ros.ros.services.save_map import SaveMapService
from lerf_ros.ros.services.training import TrainingService
from lerf_ros.ros.site import Site
from lerf_ros.srv import NextViews, Query, SaveMap


class Services:
    """The part that offers them."""

    def __init__(self, site: Site) -> None:
        self._node = site.node
        settings, loop = site.settings, site.loop
        query = QueryService(
            settings, site.encoder, loop.snapshot, site.poses, site.now_ns, loop.answering, site.queries
        )
        save = SaveMapService(settings, lambda: loop.command(site.mapper.publish))
        pause = TrainingService(settings, loop.set_training)
        store = site.mapper.store
        views = NextViewsService(settings, site.encoder, loop.snapshot, lambda frame: newest_camera(store, frame))
        serve = site.workers.serve
        self._services = [
            serve(self._node, Query, "~/query", query, on="query"),
            serve(self._node, SaveMap, "~/save_map", save),
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


def newest_camera(store: KeyframeStore, frame: str) -> Intrinsics | None:
    """Return the intrinsics of the newest keyframe of a camera ("" = any); None if there is none."""
    of_it = (k.image.intrinsics for k in reversed(store.view()) if not frame or k.image.camera == frame)
    return next(of_it, None)
