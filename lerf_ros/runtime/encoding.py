# SPDX-License-Identifier: Apache-2.0
"""What the encoder thread does: arriving items to keyframes."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from lerf_ros.errors import InputError, MappingStoppedError
from lerf_ros.runtime.cpu_share import CpuShare
from lerf_ros.runtime.driven import Mapper
from lerf_ros.runtime.failures import Failures
from lerf_ros.runtime.mailbox import Mailbox
from lerf_ros.runtime.stats import LoopCounters

if TYPE_CHECKING:
    from lerf_ros.core.keyframes import Keyframe, PosedImage

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Encoding(Generic[T]):
    """Takes items from the mailbox until that is closed.

    Args:
        mapper: its `prepare` is called here and nowhere else.
        mailbox: where items wait.
        to_posed_image: may wait; raises InputError for what cannot be used, which is counted under its cause.
        share: of the CPU.
        counters: told of everything.
        take: hands a keyframe to the trainer; raises MappingStoppedError when there is none any more.
    """

    def __init__(
        self,
        mapper: Mapper,
        mailbox: Mailbox[T],
        to_posed_image: Callable[[T], "PosedImage"],
        share: CpuShare,
        counters: LoopCounters,
        take: Callable[["Keyframe"], object],
    ) -> None:
        self._mapper = mapper
        self._mailbox = mailbox
        self._to_posed_image = to_posed_image
        self._share = share
        self._counters = counters
        self._take = take
        self._failures = Failures("encoder", counters)

    def run(self) -> None:
        """Body of the thread."""
        while (item := self._mailbox.get()) is not None:
            try:
                self._encode(item)
                self._failures.forget()
            except InputError as error:
                self._counters.drop(error.cause)
                _log.debug("frame dropped (%s): %s", error.cause, error)
            except MappingStoppedError:
                return
            except Exception as error:
                self._counters.drop("encoder_error")
                self._failures.happened(error)

    def _encode(self, item: T) -> None:
        image = self._to_posed_image(item)
        begin = time.monotonic()
        torch.set_num_threads(self._share.encoder(busy=True))
        try:
            keyframe = self._mapper.prepare(image)
        finally:
            self._share.encoder(busy=False)
        self._counters.prepared(time.monotonic() - begin, kept=keyframe is not None)
        if keyframe is not None:
            self._take(keyframe)
