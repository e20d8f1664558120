# SPDX-License-Identifier: Apache-2.0
"""Where a camera was when it took an image: from transforms, or from a topic of poses, or of a body that carries it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from lerf_ros.config import InputConfig
from lerf_ros.errors import PoseError
from lerf_ros.ros.poses.source import PoseSource, Position, Quaternion
from lerf_ros.ros.poses.tf_buffer import TfBuffer
from lerf_ros.ros.settings import Settings

NEVER_NS = 2**63


@dataclass
class _Track:
    """Poses of one topic over time, apart from all others: they are not to mix with what /tf says of the same frames.

    Attributes:
        frame: that the poses are in.
        body: that they are poses of; empty: the camera.
    """

    poses: TfBuffer = field(default_factory=TfBuffer)
    frame: str = ""
    body: str = ""


@dataclass(frozen=True)
class _Miss:
    """A camera that had no pose: how far what it lacked was known, and how to ask that again."""

    newest: Callable[[], int | None]
    newest_ns: int | None


class CameraPoses:
    """Camera poses at image stamps, whatever `input.pose_source` says they come from. Any thread.

    Args:
        settings: the configuration in force.
        transforms: all of /tf and /tf_static.

    Attributes:
        transforms: as given.
        found: told of every pose that was found: the image's frame and stamp, and the pose.
        missed: told of every one that was not.
    """

    def __init__(self, settings: Settings, transforms: PoseSource) -> None:
        self._settings = settings
        self.transforms = transforms
        self.found: Callable[[str, int, Float64[np.ndarray, "4 4"]], None] = lambda *_: None
        self.missed: Callable[[str, int, PoseError], None] = lambda *_: None
        self._tracks: dict[str, _Track] = {}  # by camera
        self._misses: dict[str, _Miss] = {}  # by camera

    def record(
        self, camera: str, frame: str, body: str, stamp_ns: int, position: Position, quaternion: Quaternion
    ) -> None:
        """Take a pose in `frame` of the camera itself (`body` empty), or of the body that carries it.

        Raises:
            PoseError: cause ``pose_frame`` (nameless), ``pose_not_finite`` or ``pose_not_rigid``.
        """
        frame, body = frame.lstrip("/"), body.lstrip("/")
        if not frame:
            raise PoseError("pose_frame", "the poses' header.frame_id is empty: name the frame that they are in")
        track = self._tracks.setdefault(camera, _Track())
        if (track.frame, track.body) != (frame, body):
            track.poses.clear()
            track.frame, track.body = frame, body
        track.poses.record("frame", "body", stamp_ns, position, quaternion)

    def wait(
        self, frame_id: str, stamp_ns: int, camera: str = "", until: float | None = None
    ) -> Float64[np.ndarray, "4 4"]:
        """Return `T_world_cam` of an image; waits for what may still come.

        A camera whose last image had no pose is not waited for until newer transforms of it have come: one that is dead
        would hold up all others.

        Args:
            frame_id: of the image, the camera's optical frame.
            stamp_ns: of the image.
            camera: its name in `input.cameras`; empty: the only one.
            until: when to wait no longer (monotonic, seconds); None: `input.tf_timeout_s` from now.

        Raises:
            PoseError: there is no pose, and which part of it is missing.
        """
        if not frame_id:
            raise PoseError("frame_id_missing", "the image's header.frame_id is empty, so its pose cannot be looked up")
        if until is None:
            until = time.monotonic() + self._settings.now.input.tf_timeout_s
        last = self._misses.pop(camera, None)
        if last is not None and last.newest() == last.newest_ns:
            until = 0.0
        try:
            T_world_cam = self._find(frame_id, stamp_ns, camera, until)
        except PoseError as error:
            newest = self._progress(frame_id, camera, error)
            self._misses[camera] = _Miss(newest, newest())
            self.missed(frame_id, stamp_ns, error)
            raise
        self.found(frame_id, stamp_ns, T_world_cam)
        return T_world_cam

    def newest_stamp(self, frame_id: str) -> int | None:
        """Return how far transforms from the world to a camera are known; None: not at all, or nothing moves there."""
        return self._known_until(frame_id) if self._settings.now.input.pose_source == "tf" else None

    def _find(self, frame_id: str, stamp_ns: int, camera: str, until: float) -> Float64[np.ndarray, "4 4"]:
        config = self._settings.now.input
        if config.pose_source == "tf":
            return self.transforms.wait(config.world_frame, frame_id, stamp_ns, _left_s(until))
        return self._by_topic(config, frame_id, stamp_ns, camera, until)

    def _progress(self, frame_id: str, camera: str, error: PoseError) -> Callable[[], int | None]:
        """Return what tells how far that which was missing is known."""
        track = self._tracks.get(camera)
        if self._settings.now.input.pose_source != "tf" and error.cause in ("pose_missing", "pose_extrapolation"):
            return lambda: None if track is None else track.poses.nearest_stamp("body", NEVER_NS)
        source = frame_id if track is None or not track.frame else track.body or track.frame
        return lambda: self._known_until(source)

    def _known_until(self, frame_id: str) -> int | None:
        try:
            return self.transforms.newest_stamp(self._settings.now.input.world_frame, frame_id)
        except PoseError:
            return None

    def clear(self) -> None:
        """Forget all that moves: time has jumped back."""
        for track in tuple(self._tracks.values()):
            track.poses.clear()
        self.transforms.clear()

    def close(self) -> None:
        """Let nobody wait any more."""
        for track in tuple(self._tracks.values()):
            track.poses.close()
        self.transforms.close()

    def _by_topic(
        self, config: InputConfig, frame_id: str, stamp_ns: int, camera: str, until: float
    ) -> Float64[np.ndarray, "4 4"]:
        topic = f"{camera}/{config.pose_source}".lstrip("/")
        track = self._tracks.setdefault(camera, _Track())
        try:
            T = track.poses.wait("frame", "body", stamp_ns, _left_s(until))
        except PoseError as error:
            raise _on_topic(topic, stamp_ns, track.poses.nearest_stamp("body", stamp_ns)) from error
        frame, body = track.frame, track.body
        nearest = track.poses.nearest_stamp("body", stamp_ns)
        if nearest is not None and abs(nearest - stamp_ns) > config.sync_slop_s * 1e9:
            raise PoseError(
                "pose_gap",
                f"the pose on {topic!r} nearest to the image is {abs(nearest - stamp_ns) / 1e9:.3f} s away "
                f"(input.sync_slop_s = {config.sync_slop_s}): publish poses more often",
            )
        if frame != config.world_frame.lstrip("/"):
            why = f"poses on {topic!r} are in"
            T = self._through(config.world_frame, frame, stamp_ns, until, why) @ T
        if body and body != frame_id.lstrip("/"):
            T = T @ self._through(body, frame_id, stamp_ns, until, "the camera hangs on")
        return T

    def _through(
        self, target: str, source: str, stamp_ns: int, until: float, why: str
    ) -> Float64[np.ndarray, "4 4"]:
        try:
            return self.transforms.wait(target, source, stamp_ns, _left_s(until))
        except PoseError as error:
            cause = "pose_frame" if error.cause in ("tf_unknown_frame", "tf_disconnected") else error.cause
            frame = source if why.endswith("in") else target
            raise PoseError(cause, f"{why} {frame!r}, and {target!r} to {source!r} is not on /tf: {error}") from error


def _left_s(until: float) -> float:
    return max(0.0, until - time.monotonic())


def _on_topic(topic: str, stamp_ns: int, nearest_ns: int | None) -> PoseError:
    """Return the error in words of the topic, not of transforms."""
    if nearest_ns is None:
        return PoseError("pose_missing", f"no pose has come on {topic!r}: is it published, and remapped rightly?")
    apart_s = (stamp_ns - nearest_ns) / 1e9
    side = "newer" if apart_s > 0 else "older"
    return PoseError("pose_extrapolation", f"the image is {abs(apart_s):.3f} s {side} than any pose on {topic!r}")
