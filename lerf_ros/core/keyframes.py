# SPDX-License-Identifier: Apache-2.0
"""Posed images, the gate that makes some of them keyframes, and the store that holds those."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float16, Float32, Float64, UInt8

from lerf_ros.config import KeyframeConfig
from lerf_ros.core.geometry import Intrinsics, check_transform, invert, rotation_angle
from lerf_ros.core.packed import BitMask, CompactDepth
from lerf_ros.core.pyramid import FeaturePyramid
from lerf_ros.core.redundancy import Redundancy
from lerf_ros.errors import DepthError, ImageError


@dataclass(frozen=True)
class PosedImage:
    """One undistorted colour image with a known camera pose.

    Attributes:
        stamp_ns: time of exposure, nanoseconds.
        rgb: colour, uint8.
        depth_m: z-depth registered to `rgb`, metres; 0 where not measured. None: no depth sensor.
        T_world_cam: camera (ROS optical axes) to world.
        camera: name of the camera it came from.
        mask: True where a pixel may be trained on (None: everywhere), e.g. not the robot itself.

    Raises:
        ImageError: cause ``image_size``, the image contradicts the intrinsics.
        DepthError: cause ``depth_size``, depth and colour differ in size.
        PoseError: the pose is not finite or not rigid.
    """

    stamp_ns: int
    rgb: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "Hd Wd"] | None
    intrinsics: Intrinsics
    T_world_cam: Float64[np.ndarray, "4 4"]
    camera: str = "camera"
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        size = (self.intrinsics.height, self.intrinsics.width)
        if self.rgb.shape[:2] != size:
            raise ImageError(
                "image_size",
                f"image is {self.rgb.shape[1]} x {self.rgb.shape[0]} but its intrinsics are "
                f"for {size[1]} x {size[0]}: is this the CameraInfo of this stream?",
            )
        if self.depth_m is not None and self.depth_m.shape != size:
            raise DepthError(
                "depth_size",
                f"depth is {self.depth_m.shape[1]} x {self.depth_m.shape[0]} but colour is "
                f"{size[1]} x {size[0]}: subscribe to depth registered to colour",
            )
        object.__setattr__(self, "T_world_cam", check_transform(self.T_world_cam, "T_world_cam"))


@dataclass(frozen=True)
class KeptImage:
    """A posed image as a keyframe keeps it, in little more than half the memory.

    Attributes:
        depth: z-depth; None: no depth sensor.
        bits: of the mask; None: True everywhere.
        stamp_ns, rgb, intrinsics, T_world_cam, camera: as of `PosedImage`.
    """

    stamp_ns: int
    rgb: UInt8[np.ndarray, "H W 3"]
    depth: CompactDepth | None
    intrinsics: Intrinsics
    T_world_cam: Float64[np.ndarray, "4 4"]
    camera: str = "camera"
    bits: BitMask | None = None

    @staticmethod
    def of(image: PosedImage) -> "KeptImage":
        """Pack depth and mask; colours are shared with `image`."""
        depth = None if image.depth_m is None else CompactDepth.of(image.depth_m)
        bits = None if image.mask is None else BitMask.of(image.mask)
        return KeptImage(image.stamp_ns, image.rgb, depth, image.intrinsics, image.T_world_cam, image.camera, bits)

    @property
    def depth_m(self) -> Float32[np.ndarray, "H W"] | None:
        """The whole depth image, metres, unpacked anew each time; 0 where not measured."""
        return None if self.depth is None else self.depth.metres()

    @property
    def mask(self) -> Bool[np.ndarray, "H W"] | None:
        """The whole mask, unpacked anew each time."""
        return None if self.bits is None else self.bits.whole()


@dataclass(frozen=True)
class Keyframe:
    """A posed image kept for training.

    Attributes:
        id: number of its own.
        pyramid: embeddings of its crops (in a map without them: they are in its bank); None: colour and geometry only.
        patches: features of an even grid of cells over the image; None: the language is not regularised.
    """

    id: int
    image: KeptImage
    pyramid: FeaturePyramid | None
    patches: Float16[np.ndarray, "h w P"] | None = None

    @staticmethod
    def of(
        number: int,
        image: PosedImage,
        pyramid: FeaturePyramid | None = None,
        patches: Float16[np.ndarray, "h w P"] | None = None,
    ) -> "Keyframe":
        """Return the keyframe of an image."""
        return Keyframe(number, KeptImage.of(image), pyramid, patches)

    def without_embeddings(self) -> "Keyframe":
        """Return this keyframe as a map keeps it, whose bank holds the embeddings."""
        return self if self.pyramid is None else replace(self, pyramid=self.pyramid.without_embeddings())


class MotionGate:
    """Accept a frame when its camera has moved or turned enough since the last accepted one (per camera)."""

    def __init__(self, config: KeyframeConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._last: dict[str, Float64[np.ndarray, "4 4"]] = {}
        self._since_ns: int | None = None

    def reconfigure(self, config: KeyframeConfig) -> None:
        """Go by other distances from now on. Safe to call from any thread."""
        self._config = config

    def has_moved(self, image: PosedImage) -> bool:
        """Return whether `image` was taken from far enough away from its camera's reference (or is the first)."""
        last = self._last.get(image.camera)
        if last is None:
            return True
        T_last_cam = invert(last) @ image.T_world_cam
        moved = float(np.linalg.norm(T_last_cam[:3, 3])) >= self._config.min_translation_m
        return moved or rotation_angle(T_last_cam[:3, :3]) >= self._config.min_rotation_rad

    def remember(self, image: PosedImage) -> None:
        """Make `image` the new reference of its camera."""
        with self._lock:
            if self._since_ns is None or image.stamp_ns > self._since_ns:
                self._last[image.camera] = image.T_world_cam

    def reset(self, since_ns: int | None = None) -> None:
        """Forget all references: the next frame of every camera is accepted. Safe to call from any thread.

        Frames up to `since_ns` that are being looked at meanwhile do not become references.
        """
        with self._lock:
            self._last.clear()
            self._since_ns = since_ns

    def time_jumped(self) -> None:
        """Let frames of any stamp become references again: time jumped back. Safe to call from any thread."""
        with self._lock:
            self._since_ns = None


class KeyframeStore:
    """Keyframes in order of arrival. Self-locked: one thread adds, any thread takes a view.

    Past `max_count` the keyframe whose camera is nearest to a neighbour's is evicted (the most redundant one), never
    the newest.
    """

    def __init__(self, max_count: int) -> None:
        self._lock = threading.Lock()
        self._frames: tuple[Keyframe, ...] = ()
        self._redundancy = Redundancy()
        self._max_count = max_count
        self._version = 0

    def add(self, keyframe: Keyframe) -> Keyframe | None:
        """Append a keyframe; return the one evicted to make room, if any."""
        with self._lock:
            frames, evicted = (*self._frames, keyframe), None
            self._redundancy.add(keyframe.image.T_world_cam)
            if len(frames) > self._max_count:
                k = self._redundancy.most_redundant()
                self._redundancy.remove(k)
                frames, evicted = frames[:k] + frames[k + 1 :], frames[k]
            self._frames = frames
            self._version += 1
            return evicted

    def replace(self, frames: Iterable[Keyframe]) -> None:
        """Put these in the place of those with the same ids: other masks, say. Their poses are the same.

        Raises:
            KeyError: one of them is not held; then nothing is replaced.
        """
        new = {frame.id: frame for frame in frames}
        with self._lock:
            if missing := new.keys() - {frame.id for frame in self._frames}:
                raise KeyError(f"no such keyframes: {sorted(missing)}")
            if new:
                self._frames = tuple(new.get(frame.id, frame) for frame in self._frames)
                self._version += 1

    def clear(self) -> None:
        """Drop all keyframes."""
        with self._lock:
            self._frames = ()
            self._redundancy = Redundancy()
            self._version += 1

    def view(self) -> tuple[Keyframe, ...]:
        """Return the keyframes now held; the tuple never changes."""
        with self._lock:
            return self._frames

    @property
    def version(self) -> int:
        """Counts every change."""
        with self._lock:
            return self._version
