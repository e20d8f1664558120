# SPDX-License-Identifier: Apache-2.0
"""Every error that lerf_ros raises on purpose.

LerfError
├── ConfigError            unknown key, wrong type, value out of range
├── InputError             one image, pose or file is unusable; the caller drops it and counts `cause`
│   ├── ImageError         encoding, size, bytes
│   ├── IntrinsicsError    focal length, size, distortion model
│   ├── PoseError          NaN, not rigid, unavailable at the stamp
│   ├── DepthError         encoding, size
│   └── StampError         before or after what can be true
├── RobotDescriptionError  a URDF has no collision shapes that can be used
├── DatasetError           a recorded capture cannot be read
├── EncoderError           an image-text encoder cannot be loaded or used
├── BackendError           a hash-grid backend is unknown or not installed
├── PromptError            a phrase that cannot be asked
├── RequestError           a service request that cannot be met as it stands
├── MapFileError           a saved map is absent, damaged, foreign or newer
├── EvaluationError        an evaluation cannot be run, or its folder belongs to another one
└── MappingStoppedError    the mapping threads are not running (any more)
"""


class LerfError(Exception):
    """Base of all errors raised on purpose by lerf_ros."""


class ConfigError(LerfError, ValueError):
    """A configuration key is unknown, of the wrong type, or out of range."""


class InputError(LerfError, ValueError):
    """One input is unusable and is dropped; `cause` names the counter it is counted under.

    Attributes:
        cause: short snake_case name, e.g. ``"image_encoding"``.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class ImageError(InputError):
    """An image has an unknown encoding, no pixels, or too few bytes."""


class IntrinsicsError(InputError):
    """Camera intrinsics are missing, impossible, or contradict the image."""


class PoseError(InputError):
    """A camera pose is not finite, not rigid, or not known at the image stamp."""


class DepthError(InputError):
    """A depth image has an unknown encoding or does not match its colour image."""


class StampError(InputError):
    """A stamp lies too far in the past or in the future."""


class RobotDescriptionError(LerfError):
    """A robot description (URDF) or one of its meshes cannot be read; the message names the link."""


class DatasetError(LerfError):
    """A recorded capture cannot be read; the message names the file."""


class EncoderError(LerfError):
    """An image-text encoder cannot be loaded or gave something unusable."""


class BackendError(LerfError):
    """A hash-grid backend is unknown, or its library is not installed."""


class PromptError(LerfError, ValueError):
    """A phrase is empty, too long, or not text."""


class RequestError(LerfError, ValueError):
    """A service request cannot be met: the map or the request lacks something; the message names the remedy."""


class MapFileError(LerfError):
    """A saved map is absent, damaged, foreign, or from a newer version."""


class EvaluationError(LerfError):
    """An evaluation cannot be run as asked, one of its scenes failed, or its work folder belongs to another one."""


class MappingStoppedError(LerfError, RuntimeError):
    """The mapping threads are not running; the message says why."""
