# SPDX-License-Identifier: Apache-2.0
"""Which store of transforms there is: tf2's where ROS has it, else ours."""

import logging

from lerf_ros.ros.poses.source import PoseSource
from lerf_ros.ros.poses.tf_buffer import TfBuffer

CACHE_S = 10.0

_log = logging.getLogger(__name__)


def pose_source() -> PoseSource:
    """Return tf2's buffer if it can be imported, else ours."""
    try:
        from lerf_ros.ros.poses.tf2_source import Tf2Source

        source: PoseSource = Tf2Source(CACHE_S)
    except ImportError as error:
        _log.info("transforms: our own buffer (%s)", error)
        return TfBuffer(CACHE_S)
    _log.info("transforms: tf2_ros")
    return source
