# SPDX-License-Identifier: Apache-2.0
"""`~/next_views`: where the camera should look next, from the newest snapshot. Never raises."""

from collections.abc import Callable

from geometry_msgs.msg import PoseArray

from lerf_ros.core.encoders import ImageTextEncoder
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.next_views import NextView, rank_views
from lerf_ros.core.phrases import phrase_fault
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.uncertainty import uncertain_surface
from lerf_ros.errors import PromptError, RequestError
from lerf_ros.ros.poses.listeners import pose_from_matrix
from lerf_ros.ros.services.commands import told_in
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import NextViews

DEFAULT_VIEWS = 5
MAX_VIEWS = 100


class NextViewsService:
    """Ranks views by what the newest snapshot is unsure of.

    Args:
        settings: the configuration in force.
        encoder: the one the map is trained with.
        snapshot: returns the newest snapshot, None before the first.
        camera_of: returns the intrinsics of the camera with a header frame ("" = that of the newest keyframe), None if
            no keyframe is of it.
    """

    def __init__(
        self,
        settings: Settings,
        encoder: ImageTextEncoder,
        snapshot: Callable[[], FieldSnapshot | None],
        camera_of: Callable[[str], Intrinsics | None],
    ) -> None:
        self._settings = settings
        self._encoder = encoder
        self._snapshot = snapshot
        self._camera_of = camera_of

    def __call__(self, request: NextViews.Request, response: NextViews.Response) -> NextViews.Response:
        """Fill the response; whatever goes wrong is its message."""
        with told_in(response, f"next views for {request.prompt!r}"):
            snapshot = self._snapshot()
            if snapshot is None:
                raise RequestError("there is no map yet: look at the workspace once, from anywhere")
            views = self._rank(snapshot, request)
            response.views = PoseArray(poses=[pose_from_matrix(view.T_world_cam) for view in views])
            response.views.header.frame_id = snapshot.frame_id
            stamp = response.views.header.stamp
            stamp.sec, stamp.nanosec = divmod(snapshot.stamp_ns, 1_000_000_000)
            response.gains = [view.gain for view in views]
            response.success = True
            response.message = "" if views else "no view from views.min_distance_m to views.max_distance_m helps"
        return response

    def _rank(self, snapshot: FieldSnapshot, request: NextViews.Request) -> list[NextView]:
        config = self._settings.now
        if request.prompt and (fault := phrase_fault(request.prompt, config.query)):
            raise PromptError(fault)
        if request.max_views > MAX_VIEWS:
            raise RequestError(f"max_views = {request.max_views} is more than {MAX_VIEWS}")
        view = FieldView(snapshot.weights, config)
        camera = self._camera_of(request.camera)
        if camera is None and not request.camera and view.views:
            camera, _ = view.camera(view.views - 1)  # of a map that was loaded
        if camera is None:
            raise RequestError(f"no keyframe is of camera {request.camera!r}: leave it empty, or map with that one")
        uncertain = uncertain_surface(snapshot, view, self._encoder, config, request.prompt)
        taken = [view.camera(k)[1] for k in range(view.views)]
        return rank_views(uncertain, snapshot.surface, camera, config, request.max_views or DEFAULT_VIEWS, taken)
