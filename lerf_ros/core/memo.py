# SPDX-License-Identifier: Apache-2.0
"""What is worked out once for an object that never changes, and forgotten with it."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

V = TypeVar("V")


@dataclass
class _Cell(Generic[V]):
    """One value. Who comes while it is being made waits for that one alone."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    made: tuple[V, ...] = ()


class Memo(Generic[V]):
    """Values by object and key, from any thread.

    Args:
        most: values kept of each object; the oldest go first. None: all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._cells: WeakKeyDictionary[object, dict[Hashable, _Cell[V]]] = WeakKeyDictionary()

    def get(self, owner: object, key: Hashable, make: Callable[[], V]) -> V:
        """Return the value of an owner, made by the first who asks."""
        with self._lock:
            cells = self._cells.setdefault(owner, {})
            cell = cells.setdefault(key, _Cell())
            if self._most is not None and len(cells) > self._most:
                del cells[next(iter(cells))]
        with cell.lock:
            if not cell.made:
                cell.made = (make(),)
            return cell.made[0]
