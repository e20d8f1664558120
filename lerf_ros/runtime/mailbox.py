# SPDX-License-Identifier: Apache-2.0
"""Two queues between threads, each holding its data and its lock in one object.

Frames may be lost (`Mailbox` drops the oldest, counted); commands may not (`CommandQueue` answers each by a future).
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from lerf_ros.errors import MappingStoppedError

T = TypeVar("T")
R = TypeVar("R")


class Mailbox(Generic[T]):
    """A bounded queue that drops an old item to take a new one: the oldest of the source that has most waiting.

    So a fast source drops its own, and never starves a slow one.

    Args:
        size: items held.
        source_of: tells where an item comes from (default: all from one source).
    """

    def __init__(self, size: int, source_of: Callable[[T], Hashable] = lambda item: None) -> None:
        self._source_of = source_of
        self._items: deque[T] = deque()
        self._size = size
        self._dropped = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> int:
        """Append `item`; return how many older ones were dropped for it. Never blocks for long.

        Raises:
            MappingStoppedError: the mailbox is closed.
        """
        with self._changed:
            if self._closed:
                raise MappingStoppedError("the mapping loop is stopped and takes no more frames")
            self._items.append(item)
            dropped = self._shorten_locked(self._size)
            self._changed.notify()
            return dropped

    def get(self, timeout_s: float | None = None) -> T | None:
        """Return the oldest item, waiting for one; None after `timeout_s` (None: no limit) or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            return self._items.popleft() if self._items and not self._closed else None

    def resize(self, size: int) -> None:
        """Hold so many items from now on; what is beyond that is dropped."""
        with self._changed:
            self._size = size
            self._shorten_locked(size)

    def clear(self) -> int:
        """Discard what waits; return how many. They do not count as dropped for want of room."""
        with self._changed:
            discarded = len(self._items)
            self._items.clear()
            return discarded

    def close(self) -> None:
        """Wake all who wait, discard what is left, refuse more."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    @property
    def dropped(self) -> int:
        """How many items were dropped so far."""
        with self._changed:
            return self._dropped

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)

    def _shorten_locked(self, size: int) -> int:
        """Drop until `size` are left; return how many."""
        dropped = max(0, len(self._items) - size)
        for _ in range(dropped):
            sources = [self._source_of(item) for item in self._items]
            most = Counter(sources).most_common(1)[0][0]  # of equals, whose item is oldest
            del self._items[sources.index(most)]
        self._dropped += dropped
        return dropped


class CommandQueue:
    """Functions to be run by the one thread that owns some state, each answered by a future; none is ever dropped."""

    def __init__(self) -> None:
        self._pending: deque[tuple[Future[object], Callable[[], object]]] = deque()
        self._closed: str | None = None
        self._changed = threading.Condition()

    def submit(self, function: Callable[[], R]) -> "Future[R]":
        """Queue `function`; its result or exception arrives in the future. Cancelling works until it has begun.

        Raises:
            MappingStoppedError: the queue is closed; the message says why.
        """
        future: Future[R] = Future()
        with self._changed:
            if self._closed is not None:
                raise MappingStoppedError(self._closed)
            self._pending.append((future, function))  # type: ignore[arg-type]
            self._changed.notify_all()
        return future

    def run_pending(self) -> int:
        """Run everything queued, in order, in the calling thread; return how many ran. Raises nothing of theirs."""
        ran = 0
        while (entry := self._pop()) is not None:
            future, function = entry
            if not future.set_running_or_notify_cancel():
                continue
            ran += 1
            try:
                future.set_result(function())
            except Exception as error:  # handed to whoever holds the future
                future.set_exception(error)
        return ran

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until something is queued or the queue is closed; return whether something is queued."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed is not None, timeout_s)
            return bool(self._pending)

    def close(self, reason: str) -> None:
        """Refuse more, and fail what has not begun, with `MappingStoppedError(reason)`."""
        with self._changed:
            self._closed = reason
            left, self._pending = self._pending, deque()
            self._changed.notify_all()
        for future, _ in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(MappingStoppedError(reason))

    def _pop(self) -> "tuple[Future[object], Callable[[], object]] | None":
        with self._changed:
            return self._pending.popleft() if self._pending else None
