# SPDX-License-Identifier: Apache-2.0
"""The node `lerf`, a managed node: what it is made of, and when each part begins and ends.

`configure` loads the encoder and offers services; `activate` subscribes to cameras and maps; `deactivate` stops both
and keeps the map, which goes on answering; `cleanup` frees everything. It takes the first two steps by itself unless
`runtime.autostart` is false.
"""

import gc
import logging
import sys
import time
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from lerf_ros.config import Config
from lerf_ros.core.memory import return_free_memory
from lerf_ros.errors import LerfError
from lerf_ros.ros import log_bridge, params
from lerf_ros.ros.changes import ParameterChanges
from lerf_ros.ros.making import make_parts, make_site
from lerf_ros.ros.running import run_program
from lerf_ros.ros.site import Part, Site, Threaded
from lerf_ros.ros.transitions import refuse_wrong_transitions

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE, TransitionCallbackReturn.ERROR
)  # fmt: skip

_log = logging.getLogger(__name__)


class LerfNode(LifecycleNode):
    """Images, depth and poses in; `~/query` and all else out.

    Raises:
        ConfigError: a parameter is unknown or out of range.
        LerfError: it starts by itself and cannot be configured: no such encoder, too little memory, ...
    """

    def __init__(self) -> None:
        super().__init__("lerf")
        refuse_wrong_transitions(self)
        self._log_handler = log_bridge.install(self.get_logger())
        self._site: Site | None = None
        self._parts: list[Part] = []
        self._refusal: LerfError | None = None
        self._changes = ParameterChanges(self, params.declare(self), lambda: self._site is not None, self._reconfigure)
        if self.config.runtime.autostart:
            self._start()

    @property
    def config(self) -> Config:
        """The configuration in force, or, unconfigured, the one that `configure` will take."""
        return self._changes.config

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the encoder, make the map and its threads, offer services."""
        self._refusal = None
        return self._attempt("configured", self._configure, FAILURE)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and map what they see, from the map there is."""
        return self._attempt("activated", self._activate, ERROR)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop receiving and training; the map stays and answers."""
        return self._attempt("deactivated", self._deactivate, ERROR)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything that `configure` made."""
        return self._attempt("cleaned up", self._free, ERROR)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As `cleanup`, from any state."""
        return self._attempt("shut down", self._free, ERROR)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything after a transition that went wrong; the node can then be configured again."""
        return self._attempt("cleaned up after an error", self._free, FAILURE)

    def now_ns(self) -> int:
        """Return the node's time (simulated with use_sim_time), nanoseconds."""
        return int(self.get_clock().now().nanoseconds)

    def close(self) -> bool:
        """Stop all threads; return whether they ended in time."""
        ended = bool(self._attempt("closed", self._tear_down, ERROR) == SUCCESS)
        log_bridge.remove(self._log_handler)
        return ended

    def _start(self) -> None:
        try:
            if self.trigger_configure() == SUCCESS and self.trigger_activate() == SUCCESS:
                return
            if not rclpy.ok():
                raise ExternalShutdownException
            raise self._refusal or LerfError("it could not be configured and activated; the log tells why")
        except BaseException:
            self.close()  # its threads would keep the process
            raise

    def _attempt(
        self, what: str, work: Callable[[], bool], otherwise: TransitionCallbackReturn
    ) -> TransitionCallbackReturn:
        """Do one transition's work and say what went wrong: rclpy swallows what a callback raises."""
        try:
            return SUCCESS if work() else otherwise
        except LerfError as error:
            _log.error("cannot be %s: %s", what, error)
            self._refusal = error.with_traceback(None)  # its frames would keep alive what they hold
        except Exception:
            if rclpy.ok():
                _log.exception("cannot be %s", what)
            else:
                _log.debug("not %s: told to stop meanwhile", what)
        return otherwise

    def _configure(self) -> bool:
        self._site = site = make_site(self, self.config)
        try:
            for part in make_parts(site):
                self._parts.append(part)
            site.loop.start()
            site.loop.suspend()
        except BaseException:
            self._free()  # FAILURE leads back to unconfigured, where nothing may be left
            raise
        return True

    def _activate(self) -> bool:
        site = self._running()
        site.loop.resume()
        for part in self._parts:
            part.activate()
        config = self.config.input
        _log.info("mapping in frame %r; poses from %s", config.world_frame, config.pose_source)
        return True

    def _deactivate(self) -> bool:
        site = self._running()
        for part in reversed(self._parts):
            part.deactivate()
        site.suspend()
        return True

    def _running(self) -> Site:
        if self._site is None:
            raise LerfError("there is nothing to do that with: the node is not configured")
        return self._site

    def _reconfigure(self, config: Config) -> None:
        if self._site is not None:
            self._site.reconfigure(config)

    def _tear_down(self) -> bool:
        """End all that `configure` made, whatever the state; return whether all threads ended in time."""
        site, self._site = self._site, None
        parts, self._parts = self._parts, []
        if site is None:
            return True
        join_s = site.settings.now.runtime.join_timeout_s
        begin = time.monotonic()
        site.workers.close()
        # what is being answered may finish, and needs the loop for it; half of the time is kept for all others
        ended = site.workers.join(begin + join_s / 2)
        for part in reversed(parts):
            for end in (part.deactivate, part.close):
                try:
                    end()
                except Exception:  # the others must be ended all the same
                    _log.exception("%s did not end well", type(part).__name__)
        for part in parts:
            if isinstance(part, Threaded):
                ended &= part.join(begin + join_s)
        return site.close(begin + join_s) and ended

    def _free(self) -> bool:
        """As `_tear_down`, and hand the memory back: parts and callbacks hold each other, so they must be collected."""
        ended = self._tear_down()
        gc.collect()
        return_free_memory()
        return ended


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit code."""
    return run_program("lerf", LerfNode, LerfNode.close, (LerfError,), args)


if __name__ == "__main__":
    sys.exit(main())
