# SPDX-License-Identifier: Apache-2.0
"""`~/relevancy_image`: what the camera sees now, and where in it a phrase is, by the newest map."""

import time
import weakref
from functools import partial
from typing import Final

import numpy as np
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import Image

from lerf_ros.core.captions import captioned
from lerf_ros.core.heat_image import blended, live_heat
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.core.standing import Relevancy, relevancies
from lerf_ros.ros.cameras.images import image_from_rgb
from lerf_ros.ros.outputs.live_images import LiveImages
from lerf_ros.ros.outputs.topic import STREAM, Topic
from lerf_ros.ros.outputs.worker import OutputWorker
from lerf_ros.ros.site import Site

TICK_S: Final = 1 / 30
NO_PHRASE: Final = "no phrase: set outputs.prompts, or ask ~/query"
NO_MAP: Final = "no map to ask yet"


class HeatOutput:
    """The part that publishes the heat of the first standing prompt; without one, of the last phrase that was asked."""

    def __init__(self, site: Site, worker: OutputWorker) -> None:
        self._site, self._worker = site, worker
        self._topic = Topic(site.node, Image, "~/relevancy_image", STREAM)
        self._at = -np.inf
        self._known: tuple[weakref.ref[FieldSnapshot], str, Relevancy | None] | None = None  # the worker's own
        self._timer = site.node.create_timer(TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._images = LiveImages()
        self._active = False

    def activate(self) -> None:
        """Show what the camera sees from now on."""
        self._images.forget(self._site.ingest.newest)
        self._active = True

    def deactivate(self) -> None:
        """There are no live images any more."""
        self._images.forget({})
        self._active = False

    def close(self) -> None:
        """Withdraw the topic."""
        self._site.node.destroy_timer(self._timer)
        self._topic.close()

    def _tick(self) -> None:
        settings = self._site.settings.now.outputs
        now = time.monotonic()
        if not self._active:
            return
        self._images.look(self._site.ingest.newest)
        if not settings.image_hz or now - self._at < 1 / settings.image_hz - TICK_S / 2:
            return
        image = self._images.newest(settings.image_camera, settings.image_timeout_s)
        if image is None:
            return
        phrase = settings.phrases[0] if settings.phrases else self._site.queries.last_phrase
        snapshot = self._site.loop.snapshot()
        if self._topic.due((image.camera, image.stamp_ns, phrase, None if snapshot is None else snapshot.step)):
            self._at = now
            self._worker.ask("image", partial(self._publish, image, snapshot, phrase))

    def _publish(self, image: PosedImage, snapshot: FieldSnapshot | None, phrase: str) -> None:
        found = None if snapshot is None or not phrase else self._relevancy(snapshot, phrase)
        if snapshot is None or found is None:
            heat, text = np.zeros(image.rgb.shape[:2], np.float32), f"{phrase}: {NO_MAP}" if phrase else NO_PHRASE
        else:
            heat, text = live_heat(image, snapshot.surface, found), f"{phrase}  {found.probability:.2f}"
        picture = captioned(blended(image.rgb, heat), text)
        self._topic.publish(image_from_rgb(picture, image.camera, image.stamp_ns))

    def _relevancy(self, snapshot: FieldSnapshot, phrase: str) -> Relevancy | None:
        """Return the relevancy of the surface, worked out once for each map and phrase."""
        known = self._known
        if known is None or known[0]() is not snapshot or known[1] != phrase:
            config = self._site.settings.now
            found = relevancies(snapshot, (phrase,), self._site.encoder, config).get(phrase)
            self._known = known = weakref.ref(snapshot), phrase, found
        return known[2]
