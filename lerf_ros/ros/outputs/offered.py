# SPDX-License-Identifier: Apache-2.0
"""All that the node publishes."""

from collections.abc import Iterator

from lerf_ros.ros.cameras.inputs import CameraInputs
from lerf_ros.ros.outputs.diagnostics import Diagnostics
from lerf_ros.ros.outputs.heartbeat import Heartbeat
from lerf_ros.ros.outputs.heat_output import HeatOutput
from lerf_ros.ros.outputs.map_outputs import MapOutputs
from lerf_ros.ros.outputs.worker import OutputWorker
from lerf_ros.ros.site import Part, Site


def make_outputs(site: Site, cameras: CameraInputs) -> Iterator[Part]:
    """Yield the parts; the worker first, for parts are closed in reverse."""
    yield Heartbeat(site, cameras)
    yield Diagnostics(site, cameras)
    worker = OutputWorker(site.queries)
    yield worker
    yield MapOutputs(site, worker)
    yield HeatOutput(site, worker)
